// exec over WebSocket: numbered channels, versions 4 and 5.
#include "tests/unit/streaming_websocket_client.h"

namespace usetl::test {
namespace {

constexpr char kV4[] = "v4.channel.k8s.io", kV5[] = "v5.channel.k8s.io";
constexpr char kSuccess[] = R"({"metadata":{},"status":"Success"})";

std::string On(int channel, std::string_view text) {
  return std::string(1, static_cast<char>(channel)).append(text);
}

TEST(StreamingWebSocket, GreetsThenSendsOutputsAndReport) {
  StreamingWorld world;
  WebSocketClient client(
      world, world.Exec({"sh", "-c", "echo out; echo err >&2; exit 4"}, false, true, true), kV4);
  EXPECT_EQ(client.Next().payload, On(1, ""));
  std::string channels[4];
  for (auto frame = client.Next(); frame.opcode == 2; frame = client.Next()) {
    channels[static_cast<size_t>(frame.payload[0])] += frame.payload.substr(1);
  }
  EXPECT_EQ(channels[1], "out\n");
  EXPECT_EQ(channels[2], "err\n");
  EXPECT_NE(channels[3].find(R"({"message":"4","reason":"ExitCode"})"), std::string::npos);
}

TEST(StreamingWebSocket, ASignalEndsTheInput) {
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"cat"}, true, true, false), kV5);
  client.Message(On(0, std::string(100'000, 'x')));
  client.Message(On(255, std::string(1, '\0')));
  client.Message(On(0, "ignored"));
  EXPECT_EQ(client.Channel(1).size(), 100'000u);
  EXPECT_TRUE(client.closed);
}

TEST(StreamingWebSocket, FragmentsAndPingsMix) {
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"cat"}, true, true, false), kV5);
  EXPECT_EQ(client.Next().payload, On(1, ""));
  client.tcp.Send(WebSocketClient::Masked(0x02, ""));
  client.tcp.Send(WebSocketClient::Masked(0x00, On(0, "one ")));
  client.tcp.Send(WebSocketClient::Masked(0x89, "ping"));
  std::string out;
  bool pong = false;
  while (out.size() < 4 || !pong) {
    const auto frame = client.Next();
    ASSERT_GE(frame.opcode, 0);
    if (frame.opcode == 10) pong = frame.payload == "ping";
    if (frame.opcode == 2) out += frame.payload.substr(1);
  }
  client.tcp.Send(WebSocketClient::Masked(0x80, "message"));
  client.Message(On(255, std::string(1, '\0')));
  EXPECT_EQ(out + client.Channel(1), "one message");
}

TEST(StreamingWebSocket, ResizesTheTerminal) {
  TakeSizes();
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"head", "-c", "1"}, true, true, false, true), kV5);
  client.Message(On(4, R"({"Width":80,"Height":24})"));
  client.Message(On(0, "x"));
  client.Message(On(255, std::string(1, '\0')));  // which a terminal does not see
  EXPECT_EQ(client.Channel(1), "x");
  EXPECT_EQ(TakeSizes(), "80x24");
}

TEST(StreamingWebSocket, TheFirstProtocolThatIsKnownCounts) {
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"true"}, false, true, false),
                         "v9.channel.k8s.io, v4.channel.k8s.io");
  EXPECT_EQ(client.Channel(3), kSuccess);
}

TEST(StreamingWebSocket, UnknownChannelsAreIgnored) {
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"cat"}, true, true, false), kV4);
  client.Message(On(9, "nowhere"));
  client.Message(On(1, "not for clients"));
  client.Message(On(0, "x"));
  EXPECT_EQ(client.Next().payload, On(1, ""));
  EXPECT_EQ(client.Next().payload, On(1, "x"));
}

TEST(StreamingWebSocket, CloseIsAnsweredAndEndsTheProgram) {
  StreamingWorld world;
  WebSocketClient client(world, world.Exec({"sleep", "1000"}, true, true, false), kV5);
  client.Next();
  client.tcp.Send(WebSocketClient::Masked(0x88, "\x03\xe8"));
  EXPECT_EQ(client.Next().opcode, 8);
  EXPECT_TRUE(client.tcp.AtEnd());
  EXPECT_TRUE(WaitForPrograms(0));
}

TEST(StreamingWebSocket, HostileFramesEndTheConnection) {
  const std::string frames[] = {
      std::string("\x82\x01x"),            // not masked
      WebSocketClient::Masked(0xc2, "x"),  // an extension
      WebSocketClient::Masked(0x83, "x"),  // an unknown kind
      WebSocketClient::Masked(0x80, "x"),  // the rest of nothing
      WebSocketClient::Masked(0x02, "x") + WebSocketClient::Masked(0x82, "y"),
      WebSocketClient::Masked(0x89, std::string(126, 'x')),  // a long ping
      WebSocketClient::Masked(0x09, "x"),                    // a ping in parts
      std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                  "mask",
                  14),  // longer than anything
      std::string("\x82\xff\0\0\0\0\x02\0\0\x01"
                  "mask",
                  14),                            // than allowed
      WebSocketClient::Masked(0x82, "\xff"),      // a signal for nothing
      WebSocketClient::Masked(0x82, "\xff\x05"),  // for no channel
      WebSocketClient::Masked(0x82, On(255, std::string(2, '\0'))),
  };
  StreamingWorld world;
  for (const std::string& frame : frames) {
    WebSocketClient client(world, world.Exec({"sleep", "1000"}, true, true, false), kV5);
    client.tcp.Send(frame);
    EXPECT_TRUE(client.tcp.AtEnd()) << &frame - frames;
    EXPECT_TRUE(WaitForPrograms(0));
  }
}

}  // namespace
}  // namespace usetl::test
