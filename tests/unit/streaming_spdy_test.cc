// exec and attach over SPDY/3.1.
#include <zlib.h>

#include "cri/streaming/spdy_mux.h"
#include "tests/unit/streaming_spdy_client.h"

namespace usetl::test {
namespace {

using cri::streaming::SpdyDictionary;

constexpr char kSuccess[] = R"({"metadata":{},"status":"Success"})";

TEST(StreamingSpdy, HasTheProtocolsDictionary) {
  const std::string& dictionary = SpdyDictionary();
  const auto* bytes = reinterpret_cast<const Bytef*>(dictionary.data());
  EXPECT_EQ(adler32(adler32(0, nullptr, 0), bytes, static_cast<uInt>(dictionary.size())),
            0xe3c6a7c2u);
}

TEST(StreamingSpdy, OutputsComeApartAndSuccessLast) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"sh", "-c", "echo out; echo err >&2"}, false, true, true));
  client.Open(1, "error");
  client.Open(3, "stdout");
  client.Open(5, "stderr");
  EXPECT_EQ(client.NextControl(2).stream, 1u);  // SYN_REPLY
  EXPECT_EQ(client.Stream(1), kSuccess);
  EXPECT_EQ(client.Stream(3), "out\n");
  EXPECT_EQ(client.Stream(5), "err\n");
  EXPECT_TRUE(client.EndsWithGoAway());
}

TEST(StreamingSpdy, TellsTheExitCode) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"sh", "-c", "exit 7"}, false, true, false));
  client.Open(1, "error");
  client.Open(3, "stdout");
  const std::string report = client.Stream(1);
  EXPECT_NE(report.find(R"("reason":"NonZeroExitCode")"), std::string::npos) << report;
  EXPECT_NE(report.find(R"("causes":[{"message":"7","reason":"ExitCode"}])"), std::string::npos)
      << report;
}

TEST(StreamingSpdy, TellsWhyNothingRuns) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"missing"}, false, true, false));
  client.Open(1, "error");
  client.Open(3, "stdout");
  EXPECT_NE(client.Stream(1).find(R"(no program \"missing\")"), std::string::npos);
}

TEST(StreamingSpdy, HalfCloseEndsTheInput) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"cat"}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Data(3, "before all streams are there, ");
  client.Open(5, "stdout");
  client.Data(3, "and after");
  EXPECT_EQ(client.Prefix(5, 39), "before all streams are there, and after");
  client.Data(3, "", true);
  EXPECT_EQ(client.Stream(1), kSuccess);
  EXPECT_EQ(client.Stream(5), "before all streams are there, and after");
}

TEST(StreamingSpdy, InputThatNobodyReadsDoesNotHold) {
  StreamingWorld world;
  SpdyClient client(world,
                    world.Exec({"sh", "-c", "exec <&-; echo go; sleep 1000"}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Open(5, "stdout");
  EXPECT_EQ(client.Prefix(5, 3), "go\n");
  client.Data(3, std::string(1 << 20, 'x'));
  EXPECT_EQ(client.Stream(3), "");  // the server ends its side: it takes no more
}

TEST(StreamingSpdy, ResizesTheTerminal) {
  TakeSizes();
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"cat"}, true, true, false, true));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Open(5, "stdout");
  client.Open(7, "resize");
  client.Data(7, R"({"Width":80,"Hei)");
  client.Data(7, "ght\":24}\n{\"Width\":0,\"Height\":0}\n");
  client.Data(3, "x");
  EXPECT_EQ(client.Prefix(5, 1), "x");
  client.Data(7, R"({"Width":100,"Height":30})");
  client.Data(3, "y");
  EXPECT_EQ(client.Prefix(5, 2), "xy");
  EXPECT_EQ(TakeSizes(), "80x24 100x30");
  client.Data(7, R"({"Width":-1,"Height":70000})");
  EXPECT_TRUE(client.EndsWithGoAway());
}

TEST(StreamingSpdy, ProgramEndsWithItsClient) {
  StreamingWorld world;
  SpdyClient client(world,
                    world.Exec({"sh", "-c", "echo up; exec sleep 1000"}, false, true, false));
  client.Open(1, "error");
  client.Open(3, "stdout");
  EXPECT_EQ(client.Prefix(3, 3), "up\n");
  client.tcp.Close();
  EXPECT_TRUE(WaitForPrograms(0));
}

TEST(StreamingSpdy, AttachEndsWithSuccessWhateverTheCode) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Open(5, "stdout");
  client.Data(3, "attached", true);
  EXPECT_EQ(client.Stream(1), kSuccess);
  EXPECT_EQ(client.Stream(5), "attached");
}

TEST(StreamingSpdy, RespectsWindowsOfAClientThatHasThem) {
  StreamingWorld world;
  SpdyClient client(world,
                    world.Exec({"sh", "-c", "head -c 300000 /dev/zero"}, false, true, false));
  client.Control(4, Words({1, 7, 1000}));  // SETTINGS: initial window
  client.Open(1, "error");
  client.Open(3, "stdout");
  EXPECT_EQ(client.Prefix(3, 1000).size(), 1000u);
  client.Control(6, Words({11}));  // PING: all that was sent before it comes before its answer
  client.NextControl(6);
  EXPECT_EQ(client.Prefix(3, 0).size(), 1000u);
  client.WindowUpdate(3, 1 << 20);
  EXPECT_EQ(client.Prefix(3, 65536).size(), 65536u);  // the connection's window
  client.Control(6, Words({13}));
  client.NextControl(6);
  EXPECT_EQ(client.Prefix(3, 0).size(), 65536u);
  client.WindowUpdate(0, 1 << 20);
  EXPECT_EQ(client.Stream(3).size(), 300000u);
  EXPECT_NE(client.Stream(1), "");
}

TEST(StreamingSpdy, TellsWhatItTook) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"sh", "-c", "cat >/dev/null"}, true, false, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Data(3, std::string(60 << 10, 'x'));
  uint32_t of_connection = 0, of_stream = 0;
  while (of_connection == 0 || of_stream == 0) {
    const SpdyClient::Frame frame = client.NextControl(9);
    ASSERT_EQ(frame.type, 9);
    const uint32_t size = cri::streaming::BigEndian32(frame.payload.substr(4));
    (frame.stream == 0 ? of_connection : of_stream) += size;
  }
  EXPECT_GE(of_connection, 32u << 10);
  EXPECT_LE(of_stream, 60u << 10);
}

TEST(StreamingSpdy, StreamsThatNobodyAskedForAreReset) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"cat"}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stderr");
  EXPECT_EQ(client.NextControl(3).stream, 3u);  // RST_STREAM
  client.Open(5, "error");
  EXPECT_EQ(client.NextControl(3).stream, 5u);
}

TEST(StreamingSpdy, MissingStreamsAreNotWaitedForLong) {
  cri::streaming::Timers timers;
  timers.creation = std::chrono::seconds(1);
  StreamingWorld world(timers);
  SpdyClient client(world, world.Exec({"cat"}, true, true, false));
  client.Open(1, "error");
  EXPECT_TRUE(client.EndsWithGoAway());
  EXPECT_TRUE(WaitForPrograms(0));
}

TEST(StreamingSpdy, TheServersEndEndsPrograms) {
  auto world = std::make_unique<StreamingWorld>();
  SpdyClient client(*world, world->Exec({"cat"}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Open(5, "stdout");
  client.Data(3, "x");
  EXPECT_EQ(client.Prefix(5, 1), "x");
  world.reset();
  EXPECT_TRUE(WaitForPrograms(0));
  EXPECT_TRUE(client.tcp.AtEnd());
}

TEST(StreamingSpdy, HostileFramesEndTheConnection) {
  const std::string head = Words({1, 0}) + std::string(2, '\0');
  const auto control = [](uint16_t type, const std::string& payload, uint32_t flags = 0) {
    return Words({0x80030000u | type, flags << 24 | static_cast<uint32_t>(payload.size())}) +
           payload;
  };
  cri::streaming::HeaderWriter long_writer, many_writer, upper_writer;
  cri::streaming::Headers many;
  for (int i = 0; i < 65; ++i) many["h" + std::to_string(i)] = "";
  const std::string frames[] = {
      Words({0x80020001u, 0}),              // another version
      Words({0x80030001u, 0x00ffffff}),     // too long
      control(5, ""),                       // no such type
      control(1, "short"),                  // cut off
      control(1, head + "no zlib at all"),  //
      control(1, head + *long_writer.Write({{"a", std::string(20000, 'b')}})),
      control(1, head + *many_writer.Write(many)),              //
      control(1, head + *upper_writer.Write({{"Upper", ""}})),  //
      control(1, Words({2, 0}) + std::string(2, '\0')),         // a server's stream
      control(2, Words({1})),                                   // SYN_REPLY to nothing
      control(3, Words({1, 5})),                                // RST_STREAM of no stream
      control(4, Words({2, 7, 1})),                             // SETTINGS, cut off
      control(4, Words({1, 7, 0xffffffff})),                    // a window too large
      control(6, ""),                                           //
      control(9, Words({0, 0})),                                // WINDOW_UPDATE of nothing
      control(9, Words({0, 0x7fffffff})) + control(9, Words({0, 0x7fffffff})),
      control(9, Words({9, 1})),  // of no stream
      Words({1, 4}) + "data",     // of no stream
      Words({0, 0}),              //
  };
  StreamingWorld world;
  for (const std::string& frame : frames) {
    SpdyClient client(world, world.Exec({"cat"}, true, true, false));
    client.tcp.Send(frame);
    EXPECT_TRUE(client.EndsWithGoAway()) << &frame - frames;
  }
}

TEST(StreamingSpdy, DataAfterTheEndEndsTheConnection) {
  StreamingWorld world;
  SpdyClient client(world, world.Exec({"sleep", "1000"}, true, true, false));
  client.Open(1, "error");
  client.Open(3, "stdin");
  client.Data(3, "x", true);
  client.Data(3, "y");
  EXPECT_TRUE(client.EndsWithGoAway());
  EXPECT_TRUE(WaitForPrograms(0));
  client.tcp.Close();
  world.server.reset();
  ASSERT_EQ(world.log.size(), 1u);
  EXPECT_EQ(world.log[0], "exec of container: SPDY: data after the end");
}

TEST(StreamingSpdy, BoundsStreams) {
  StreamingWorld world;
  SpdyClient client(world, world.Forward({}), kSpdyForward);
  for (uint32_t i = 0; i <= cri::streaming::kMaxSpdyStreams; ++i) {
    client.Open(2 * i + 1,
                {{"streamtype", "error"}, {"port", "1"}, {"requestid", std::to_string(i)}});
  }
  EXPECT_EQ(client.NextControl(3).stream, 2 * cri::streaming::kMaxSpdyStreams + 1);
}

}  // namespace
}  // namespace usetl::test
