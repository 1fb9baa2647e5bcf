// Where usetl-vmmd shows its numbers: to whoever asks, whatever he sends.
#include "vmm/vmmd/metrics_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "tests/etl/network.h"
#include "vmm/base/numeric_address.h"

namespace usetl {
namespace {

TEST(NumericAddress, HasAPort) {
  for (const char* good : {"127.0.0.1:9470", "0.0.0.0:1", "[::1]:65535"}) {
    EXPECT_TRUE(ParseNumericAddress("--metrics", good).ok()) << good;
  }
  // prometheus-cpp would take more than one of them, with flags.
  for (const char* bad : {"", "9470", ":9470", "localhost:1", "127.0.0.1", "127.0.0.1:",
                          "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:80s", "127.0.0.1:80,81",
                          "127.0.0.1:-1", "::1:80", "[127.0.0.1]:80", "[::1]", "127.0.0.1:80 "}) {
    const Status status = ParseNumericAddress("--metrics", bad).status();
    EXPECT_EQ(status.code(), EINVAL) << bad;
    EXPECT_NE(status.message().find("--metrics"), std::string::npos);
  }
}

class MetricsPortTest : public testing::Test {
 protected:
  void SetUp() override {
    static const bool kEntered = test::EnterOwnNetwork();
    if (!kEntered) GTEST_SKIP() << "no network namespace can be made here";
    address.sin_family = AF_INET;
    address.sin_port = htons(9470);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Result<MetricsPort> opened = MetricsPort::Open(
        kAddress,
        [this](int fd) {
          watched.push_back(fd);
          return Status();
        },
        [this] { return "told " + std::to_string(++asked) + "\n"; }, [this] { return now; });
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    port.emplace(std::move(*opened));
  }
  // As the daemon's loop does it, until nothing is ready.
  void Turn() {
    for (bool some = true; some;) {
      some = false;
      for (size_t i = 0; i < watched.size(); ++i) {
        if (!port->Owns(watched[i])) continue;
        pollfd state{watched[i], POLLIN, 0};
        if (poll(&state, 1, 0) <= 0) continue;
        some = true;
        EXPECT_TRUE(port->OnReadable(watched[i]).ok());
      }
    }
  }
  Fd Connect() {
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    Turn();
    return client;
  }
  void Send(const Fd& client, std::string_view text) {
    EXPECT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What has come; empty: nothing yet.
  static std::string Received(const Fd& client) {
    char bytes[4096];
    const ssize_t n = recv(client.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return n > 0 ? std::string(bytes, n) : "";
  }

  static constexpr char kAddress[] = "127.0.0.1:9470";
  sockaddr_in address{};
  std::vector<int> watched;
  int asked = 0;
  MetricsPort::Clock::time_point now;
  std::optional<MetricsPort> port;
};

TEST_F(MetricsPortTest, AnswersOnceWhateverItIs) {
  for (const std::string& request : {std::string("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
                                     std::string("\0\xff\r\n", 4), std::string(50'000, 'x')}) {
    const Fd client = Connect();
    EXPECT_EQ(Received(client), "") << "nobody has asked";
    for (std::string_view left = request; !left.empty();) {
      const ssize_t n = send(client.get(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) left.remove_prefix(n);
      Turn();
    }
    Turn();
    const std::string answer = Received(client);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\ntold " + std::to_string(asked) + "\n")) << answer;
    Send(client, "more");
    Turn();
    EXPECT_EQ(Received(client), "");
  }
  EXPECT_EQ(asked, 3);
}

TEST_F(MetricsPortTest, ThoseWhoDoNothingAreInNobodysWay) {
  std::vector<Fd> idle;
  for (size_t i = 0; i < MetricsPort::kMostClients; ++i) idle.push_back(Connect());
  // He may ask still: he came a moment ago.
  char byte;
  EXPECT_EQ(recv(Connect().get(), &byte, 1, MSG_DONTWAIT), 0) << "there is no place";
  now += MetricsPort::kPatience;
  const Fd client = Connect();
  Send(client, "GET / HTTP/1.0\r\n\r\n");
  Turn();
  EXPECT_TRUE(Received(client).ends_with("told 1\n"));
  size_t open = 0;
  for (const int fd : watched) open += port->Owns(fd);
  EXPECT_LE(open, 1 + 2 * MetricsPort::kMostClients) << "numbers come again, so some count twice";
  EXPECT_EQ(recv(idle[0].get(), &byte, 1, MSG_DONTWAIT), 0) << "the oldest has lost its place";
}

TEST_F(MetricsPortTest, WhoHasNotAskedKeepsHisPlace) {
  const Fd scrape = Connect();
  std::vector<Fd> others;
  for (size_t i = 0; i < 3 * MetricsPort::kMostClients; ++i) {
    others.push_back(Connect());
    if (i % 2 == 0) continue;
    (void)!send(others.back().get(), "x", 1, MSG_NOSIGNAL);  // some had no place
    Turn();
  }
  Send(scrape, "GET / HTTP/1.0\r\n\r\n");
  Turn();
  EXPECT_TRUE(Received(scrape).ends_with("told " + std::to_string(asked) + "\n"));
}

TEST_F(MetricsPortTest, WhoNeverEndsLosesHisPlace) {
  const Fd client = Connect();
  const std::string piece(4096, 'x');
  size_t sent = 0;
  for (ssize_t n; (n = send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL)) > 0;) {
    sent += n;
    ASSERT_LT(sent, 4 * MetricsPort::kMostBehind) << "he is listened to for ever";
    Turn();
  }
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET) << errno;
}

TEST_F(MetricsPortTest, SaysThatNobodyCanBeAccepted) {
  const Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const Status status = port->OnReadable(port->listener());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.code(), EMFILE) << status.message();
  Turn();
  Send(client, "GET / HTTP/1.0\r\n\r\n");
  Turn();
  EXPECT_TRUE(Received(client).ends_with("told 1\n")) << "he was waiting";
}

TEST_F(MetricsPortTest, SaysWhyItCannotListen) {
  const auto second = MetricsPort::Open(
      kAddress, [](int) { return Status(); }, [] { return std::string(); });
  EXPECT_EQ(second.status().code(), EADDRNOTAVAIL);
  EXPECT_NE(second.status().message().find(kAddress), std::string::npos)
      << second.status().message();
}

}  // namespace
}  // namespace usetl
