// Tokens, handshakes, and what ExecSync collects.
#include <gtest/gtest.h>

#include "cri/streaming/collect_output.h"
#include "tests/unit/streaming_spdy_client.h"

namespace usetl::test {
namespace {

using cri::streaming::Tokens;

std::string StatusOf(const StreamingWorld& world, const std::string& path,
                     const std::string& lines) {
  StreamingClient client(world);
  const std::string head = Ask(&client, path, lines);
  return head.substr(0, head.find("\r\n"));
}

TEST(StreamingTokens, AreGoodOnce) {
  Tokens tokens;
  const auto first = tokens.Add({});
  const auto second = tokens.Add({});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_EQ(first->size(), 32u);
  EXPECT_TRUE(tokens.Take(*first));
  EXPECT_FALSE(tokens.Take(*first));
  EXPECT_FALSE(tokens.Take(""));
}

TEST(StreamingTokens, EndWithTheirLifeAndAreBounded) {
  Tokens dead{std::chrono::milliseconds(0)};
  EXPECT_FALSE(dead.Take(*dead.Add({})));
  for (size_t i = 0; i < 2 * cri::streaming::kMaxTokens; ++i) EXPECT_TRUE(dead.Add({}).ok());
  Tokens tokens;
  for (size_t i = 0; i < cri::streaming::kMaxTokens; ++i) EXPECT_TRUE(tokens.Add({}).ok());
  EXPECT_EQ(tokens.Add({}).status().code(), EAGAIN);
}

TEST(StreamingServer, AnswersAsKubernetesDoes) {
  StreamingWorld world;
  const auto path = [&] { return world.Exec({"cat"}, true, true, false); };
  EXPECT_EQ(StatusOf(world, "/exec/0123456789abcdef", kSpdyUpgrade), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(StatusOf(world, "/", kSpdyUpgrade), "HTTP/1.1 404 Not Found");
  std::string other = path();
  EXPECT_EQ(StatusOf(world, "/attach" + other.substr(5), kSpdyUpgrade), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(StatusOf(world, path(), ""), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(StatusOf(world, path(), "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"),
            "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(StatusOf(world, path(), std::string(kSpdyUpgrade) + "Content-Length: 5\r\n"),
            "HTTP/1.1 400 Bad Request");
  StreamingClient client(world);
  const std::string head =
      Ask(&client, path(),
          "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
          "X-Stream-Protocol-Version: v3.channel.k8s.io, v2.channel.k8s.io\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_NE(head.find("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"),
            std::string::npos);
  EXPECT_EQ(StatusOf(world, path(),
                     "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Protocol: base64.channel.k8s.io\r\n"),
            "HTTP/1.1 403 Forbidden");
}

TEST(StreamingServer, AnAddressIsGoodOnce) {
  StreamingWorld world;
  const std::string path = world.Exec({"true"}, false, true, false);
  EXPECT_EQ(StatusOf(world, path, kSpdyUpgrade), "HTTP/1.1 101 Switching Protocols");
  EXPECT_EQ(StatusOf(world, path, kSpdyUpgrade), "HTTP/1.1 404 Not Found");
}

TEST(StreamingServer, RequestsAreBounded) {
  cri::streaming::Timers timers;
  timers.request = std::chrono::milliseconds(50);
  StreamingWorld impatient(timers), world;
  StreamingClient slow(impatient);
  slow.Send("GET / HT");
  EXPECT_TRUE(slow.AtEnd());
  StreamingClient large(world);
  large.Send("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
  EXPECT_TRUE(large.ReceiveHead().starts_with("HTTP/1.1 400 "));
}

TEST(StreamingServer, ManySessionsAreRefusedAndKeepTheirToken) {
  StreamingWorld world;
  std::vector<std::unique_ptr<SpdyClient>> clients;
  for (int i = 0; i < cri::streaming::kMaxSessions; ++i) {
    clients.push_back(std::make_unique<SpdyClient>(world, world.Exec({"cat"}, true, true, false)));
  }
  const std::string path = world.Exec({"cat"}, true, true, false);
  EXPECT_EQ(StatusOf(world, path, kSpdyUpgrade), "HTTP/1.1 503 Service Unavailable");
  clients[0]->tcp.Close();
  std::string status;
  while (!status.starts_with("HTTP/1.1 101")) {  // once the server has noticed
    status = StatusOf(world, path, kSpdyUpgrade);
    ASSERT_EQ(status.find("404"), std::string::npos);
  }
}

TEST(StreamingServer, ListensOnLoopbackOnly) {
  for (const char* address : {"0.0.0.0:0", "10.0.0.1:1", "[::]:0", "localhost:0", "127.0.0.1",
                              "127.0.0.1:x", "127.0.0.1:65536", ""}) {
    const auto server = cri::streaming::Server::Start(address, {}, {});
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_EQ(server.status().code(), EINVAL);
  }
}

const auto kNever = [] { return false; };

TEST(StreamingCollect, KeepsOutputsApart) {
  auto process =
      LaunchHostProcess({{"sh", "-c", "echo out; echo err >&2; exit 3"}, false, false, true, true});
  ASSERT_TRUE(process.ok());
  const auto output = cri::streaming::CollectOutput(process->get(), std::nullopt, kNever);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_EQ(output->exit_code, 3);
}

TEST(StreamingCollect, ThrowsAwayWhatIsTooMuch) {
  auto process = LaunchHostProcess(
      {{"sh", "-c", "head -c 20000000 /dev/zero; exit 2"}, false, false, true, true});
  ASSERT_TRUE(process.ok());
  const auto output = cri::streaming::CollectOutput(process->get(), std::nullopt, kNever);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->out.size(), cri::streaming::kMaxCollected);
  EXPECT_EQ(output->exit_code, 2);
}

TEST(StreamingCollect, EndsAtItsLimitAndWhenNobodyWaits) {
  auto process = LaunchHostProcess({{"sleep", "1000"}, false, false, true, true});
  ASSERT_TRUE(process.ok());
  const auto late =
      cri::streaming::CollectOutput(process->get(), std::chrono::milliseconds(1), kNever);
  EXPECT_EQ(late.status().code(), ETIMEDOUT);
  const auto given_up =
      cri::streaming::CollectOutput(process->get(), std::nullopt, [] { return true; });
  EXPECT_EQ(given_up.status().code(), ECANCELED);
  process->reset();
  EXPECT_TRUE(WaitForPrograms(0));
}

}  // namespace
}  // namespace usetl::test
