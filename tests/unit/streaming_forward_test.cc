// port-forward, over SPDY and over WebSocket.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cri/streaming/websocket_frames.h"
#include "tests/etl/network.h"
#include "tests/unit/streaming_spdy_client.h"
#include "tests/unit/streaming_websocket_client.h"

namespace usetl::test {
namespace {

class StreamingForward : public testing::Test {
 protected:
  static void SetUpTestSuite() { own_network_ = EnterOwnNetwork(); }
  void SetUp() override {
    if (!own_network_) GTEST_SKIP() << "needs a network namespace of its own; run it as root";
    world_ = std::make_unique<StreamingWorld>();
  }
  // Listens at a loopback address of `family`.
  void Listen(int family) {
    pod_ = Fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address =
        family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = family == AF_INET ? sizeof v4 : sizeof v6;
    ASSERT_EQ(bind(pod_.get(), address, size), 0);
    ASSERT_EQ(listen(pod_.get(), 16), 0);
    ASSERT_EQ(getsockname(pod_.get(), address, &size), 0);
    port_ = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
  }
  Fd Accept() {
    Fd accepted(accept(pod_.get(), nullptr, nullptr));
    const timeval limit{60, 0};
    setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return accepted;
  }
  static std::string ReadAll(const Fd& fd) {
    std::string all;
    char part[4096];
    for (;;) {
      const ssize_t size = read(fd.get(), part, sizeof part);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return all;
      all.append(part, static_cast<size_t>(size));
    }
  }
  static void Say(const Fd& fd, std::string_view text) {
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void OpenPair(SpdyClient* client, uint32_t first, const std::string& request, int port) {
    client->Open(first,
                 {{"streamtype", "error"}, {"port", std::to_string(port)}, {"requestid", request}});
    client->Open(first + 2,
                 {{"streamtype", "data"}, {"port", std::to_string(port)}, {"requestid", request}});
  }

  static inline bool own_network_ = false;
  std::unique_ptr<StreamingWorld> world_;
  Fd pod_;
  int port_ = 0;
};

TEST_F(StreamingForward, HalfClosesBothWays) {
  Listen(AF_INET);
  SpdyClient client(*world_, world_->Forward({}), kSpdyForward);
  OpenPair(&client, 1, "0", port_);
  client.Data(3, "question", true);
  Fd pod = Accept();
  EXPECT_EQ(ReadAll(pod), "question");
  Say(pod, "answer");
  pod.Reset();
  EXPECT_EQ(client.Stream(3), "answer");
  EXPECT_EQ(client.Stream(1), "");
  OpenPair(&client, 5, "1", port_);  // the connection goes on
  pod = Accept();
  Say(pod, "first");
  shutdown(pod.get(), SHUT_WR);
  EXPECT_EQ(client.Stream(7), "first");
  client.Data(7, "then", true);
  EXPECT_EQ(ReadAll(pod), "then");
  EXPECT_EQ(client.Stream(5), "");
}

TEST_F(StreamingForward, TriesIpv6) {
  Listen(AF_INET6);
  SpdyClient client(*world_, world_->Forward({}), kSpdyForward);
  OpenPair(&client, 1, "0", port_);
  const Fd pod = Accept();
  Say(pod, "six");
  EXPECT_EQ(client.Prefix(3, 3), "six");
}

TEST_F(StreamingForward, TellsWhyAPortIsNotReached) {
  SpdyClient client(*world_, world_->Forward({}), kSpdyForward);
  OpenPair(&client, 1, "0", 9);
  EXPECT_EQ(client.Stream(1), "connecting to port 9 of the pod: Connection refused");
  EXPECT_EQ(client.Stream(3), "");
}

TEST_F(StreamingForward, ResetEndsTheConnectionToThePod) {
  Listen(AF_INET);
  SpdyClient client(*world_, world_->Forward({}), kSpdyForward);
  OpenPair(&client, 1, "0", port_);
  client.Data(3, "x");
  const Fd pod = Accept();
  char byte = 0;
  ASSERT_EQ(read(pod.get(), &byte, 1), 1);
  client.Control(3, Words({3, 5}));  // RST_STREAM
  EXPECT_EQ(ReadAll(pod), "");
  EXPECT_EQ(client.Stream(1), "");
}

TEST_F(StreamingForward, RefusesBadStreams) {
  SpdyClient client(*world_, world_->Forward({}), kSpdyForward);
  const cri::streaming::Headers bad[] = {
      {{"streamtype", "data"}, {"port", "0"}, {"requestid", "1"}},
      {{"streamtype", "data"}, {"port", "65536"}, {"requestid", "1"}},
      {{"streamtype", "data"}, {"port", "1x"}, {"requestid", "1"}},
      {{"streamtype", "stdin"}, {"port", "1"}, {"requestid", "1"}},
      {{"streamtype", "data"}, {"port", "1"}},
      {},
  };
  uint32_t stream = 1;
  for (const auto& headers : bad) {
    client.Open(stream, headers);
    EXPECT_EQ(client.NextControl(3).stream, stream);
    stream += 2;
  }
}

TEST_F(StreamingForward, TunnelsSpdyThroughWebSocket) {
  Listen(AF_INET);
  WebSocketClient client(*world_, world_->Forward({}), "SPDY/3.1+portforward.k8s.io");
  cri::streaming::HeaderWriter writer;
  std::string frames;
  uint32_t stream = 1;
  for (const char* type : {"error", "data"}) {
    const std::string payload =
        Words({stream, 0}) + std::string(2, '\0') +
        *writer.Write({{"streamtype", type}, {"port", std::to_string(port_)}, {"requestid", "0"}});
    frames += Words({0x80030001u, static_cast<uint32_t>(payload.size())}) + payload;
    stream += 2;
  }
  frames += Words({3, 1u << 24 | 2}) + "hi";
  client.Message(frames.substr(0, 20));  // where messages end means nothing
  client.Message(frames.substr(20));
  const Fd pod = Accept();
  EXPECT_EQ(ReadAll(pod), "hi");
  Say(pod, "ho");
  std::string bytes;
  while (bytes.find(Words({3, 2}) + "ho") == std::string::npos) {
    const WebSocketClient::Frame frame = client.Next();
    ASSERT_EQ(frame.opcode, 2);
    bytes += frame.payload;
  }
}

TEST_F(StreamingForward, ServesPortsAsChannels) {
  Listen(AF_INET);
  WebSocketClient client(*world_, world_->Forward({static_cast<uint16_t>(port_)}),
                         "v4.channel.k8s.io");
  const std::string port = {static_cast<char>(port_ & 0xff), static_cast<char>(port_ >> 8)};
  EXPECT_EQ(client.Next().payload, std::string(1, '\0') + port);
  EXPECT_EQ(client.Next().payload, "\x01" + port);
  client.Message(std::string(1, '\0') + "hi");
  Fd pod = Accept();
  char bytes[2];
  ASSERT_EQ(read(pod.get(), bytes, 2), 2);
  Say(pod, "ho");
  EXPECT_EQ(client.Next().payload, std::string(1, '\0') + "ho");
  const linger at_once{1, 0};  // a reset
  ASSERT_EQ(setsockopt(pod.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  pod.Reset();
  EXPECT_EQ(client.Channel(1), "the pod ended the connection: read: Connection reset by peer");
  EXPECT_TRUE(client.closed);  // nothing is left of it
}

}  // namespace
}  // namespace usetl::test
