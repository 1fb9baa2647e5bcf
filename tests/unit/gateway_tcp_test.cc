// What only TCP has: addresses, resets, input that is lost with them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>

#include "tests/etl/network.h"
#include "tests/unit/gateway_world.h"

namespace usetl::test {
namespace {

class GatewayTcp : public testing::Test {
 protected:
  static void SetUpTestSuite() { own_network_ = EnterOwnNetwork(); }
  void SetUp() override {
    if (!own_network_) GTEST_SKIP() << "needs a network namespace of its own; run it as root";
    Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address_), size), 0);
    ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    std::vector<Fd> listeners;
    listeners.push_back(std::move(listener));
    ASSERT_TRUE(world_.server->Listen(std::move(listeners)).ok());
  }
  GatewayClient Dial() {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    return GatewayClient(std::move(fd));
  }
  // Until `done`; loopback delivers soon, but not at once.
  template <typename Done>
  void RunUntil(Done done) {
    pollfd ready{world_.server->poll_fd(), POLLIN, 0};
    while (!done() && poll(&ready, 1, 60'000) > 0) world_.server->OnReady();
    EXPECT_TRUE(done());
  }
  void Reset(GatewayClient* client) {
    const linger at_once{1, 0};
    ASSERT_EQ(setsockopt(client->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    client->Close();
  }

  static inline bool own_network_ = false;
  sockaddr_in address_{};
  GatewayWorld world_;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

TEST_F(GatewayTcp, SaysWhoAsksAndWhere) {
  GatewayClient client = Dial();
  client.Send(kGet);
  RunUntil([&] { return world_.backend.ids.size() == 1; });
  const gateway::Request& request = world_.backend.requests[0];
  EXPECT_EQ(request.client.address, "127.0.0.1");
  EXPECT_EQ(request.server.port, ntohs(address_.sin_port));
}

TEST_F(GatewayTcp, AResetCancelsAndAnswersBehindItGoNowhere) {
  GatewayClient client = Dial();
  client.Send(kGet);
  RunUntil([&] { return world_.backend.ids.size() == 1; });
  const uint64_t id = world_.backend.ids[0];
  world_.server->Answer(id, {200, {}}, std::nullopt);
  Reset(&client);
  // Before and after the gateway hears of it.
  world_.server->AnswerData(id, std::string(1 << 20, 'x'));
  RunUntil([&] { return world_.backend.cancelled.size() == 1; });
  EXPECT_EQ(world_.server->counters().open, 0u);
  EXPECT_EQ(world_.server->counters().buffered, 0u);
  EXPECT_TRUE(world_.server->AnswerData(id, "x"));
  world_.server->AnswerEnd(id);
}

TEST_F(GatewayTcp, AnAnswerUntilTheEndThatIsBrokenOffEndsWithAReset) {
  GatewayClient client = Dial();
  client.Send("GET / HTTP/1.0\r\n\r\n");
  RunUntil([&] { return world_.backend.ids.size() == 1; });
  const uint64_t id = world_.backend.ids[0];
  world_.server->Answer(id, {200, {}}, std::nullopt);
  world_.server->AnswerData(id, "half");
  world_.server->AnswerError(id, 502, "broken");
  RunUntil([&] { return world_.server->counters().open == 0; });
  char buffer[1024];
  ssize_t size = 1;
  while (size > 0) size = recv(client.fd(), buffer, sizeof buffer, 0);
  EXPECT_EQ(size, -1) << "it does not look complete";
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(GatewayTcp, ARefusalReachesAClientThatStillSends) {
  GatewayClient client = Dial();
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n");
  size_t sent = 0;
  std::string answer;
  RunUntil([&] {
    // Unread, it would make the kernel reset the connection and take the answer with it.
    if (sent < 500'000) sent += client.Send(std::string(16 << 10, 'x'));
    answer += client.Receive();
    return client.ended() && sent >= 500'000;
  });
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 413");
}

TEST_F(GatewayTcp, AFloodedConnectionIsToldWhyItEnds) {
  GatewayClient client = Dial();
  std::string flood = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9);
  const std::string ping("\0\0\x08\6\0\0\0\0\0........", 17);
  for (int i = 0; i < 20'000; ++i) flood += ping;
  size_t sent = 0;
  std::string answer;
  RunUntil([&] {
    if (sent < flood.size()) sent += client.Send(std::string_view(flood).substr(sent));
    answer += client.Receive();
    return client.ended() && sent == flood.size();
  });
  const std::string goaway("\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\x0b", 17);
  EXPECT_NE(answer.find(goaway), answer.npos) << "ENHANCE_YOUR_CALM";
}

}  // namespace
}  // namespace usetl::test
