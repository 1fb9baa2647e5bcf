// Peers that stop answering, at every stage of a transaction.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>

#include "tests/etl/certificates.h"
#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::BodyKind;
using abi::HttpError;

// A port whose queue of connections is full: one more is neither accepted nor refused.
class FullPort {
 public:
  FullPort() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), any, size), 0);
    EXPECT_EQ(listen(listener_.get(), 0), 0);
    EXPECT_EQ(getsockname(listener_.get(), any, &size), 0);
    port_ = ntohs(address.sin_port);
    for (Fd& filler : fillers_) {
      filler = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)!connect(filler.get(), any, size);  // goes on by itself
    }
  }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  Fd listener_;
  Fd fillers_[4];
  uint16_t port_ = 0;
};

class HangTest : public EtlTest {
 protected:
  HangTest() { options.limits.connect_timeout_ms = options.limits.idle_timeout_ms = 150; }

  // Sends these bytes after a request's head, then nothing, and reads nothing more.
  Server::Serve Stopping(std::string bytes) {
    return [this, bytes = std::move(bytes)](Connection& connection) {
      connection.ReadHead();
      connection.Send(bytes);
      while (!over_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    };
  }
  // What a request there ends with, by the limits of the proxy and by its own.
  void Expect(const std::string& url, const Ask& how = {}) {
    for (const uint32_t own : {0u, 100u}) {
      ASSERT_TRUE(options.policy.Allow(url.substr(0, url.rfind('/'))).ok());
      Open();
      Ask ask = how;
      ask.url = url;
      ask.timeout_ms = own;
      const Answer answer = Fetch(ask);
      EXPECT_EQ(answer.error, HttpError::kTimeout) << url;
      EXPECT_EQ(answer.message, "timed out");
      EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
      EXPECT_EQ(proxy().open_transactions(), 0u);
    }
  }
  void Over() { over_ = true; }

  std::atomic<bool> over_ = false;
};

TEST_F(HangTest, WhileConnecting) {
  const FullPort port;
  Expect(port.Url());
}

TEST_F(HangTest, InTheHandshakeOfTls) {
  Server server([](Connection& connection) {
    while (!connection.Read().empty()) {
    }
  });
  Expect("https" + server.Url().substr(4));
}

TEST_F(HangTest, BeforeTheHead) {
  Server server(Stopping(""));
  Expect(server.Url());
  Over();
}

TEST_F(HangTest, WithinTheHead) {
  Server server(Stopping("HTTP/1.1 200 OK\r\nContent-"));
  Expect(server.Url());
  Over();
}

TEST_F(HangTest, WithinTheBody) {
  Server known(Stopping("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
  Server chunked(Stopping("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"));
  for (const Server* server : {&known, &chunked}) {
    Expect(server->Url());
    Expect(server->Url(), {.flags = abi::kHttpStream});
  }
  Over();
}

TEST_F(HangTest, BehindTls) {
  const std::string directory = testing::TempDir() + "etl_hang";
  std::filesystem::create_directories(directory);
  CertificateAuthority authority(directory);
  options.tls.extra_ca = authority.path();
  const ServerTls tls = authority.Issue("IP:127.0.0.1", 10);
  Server server(Stopping("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), &tls);
  Expect(server.Url());
  Over();
  std::filesystem::remove_all(directory);
}

TEST_F(HangTest, WithoutReadingTheRequest) {
  Server server(Stopping(""));
  Expect(server.Url(),
         {.method = "POST", .kind = BodyKind::kRegion, .body = Pattern(kGuestSize / 4)});
  Over();
}

// Always something moves: only the time for the whole ends it.
TEST_F(HangTest, TricklingForEver) {
  const auto trickle = [](std::string first, std::string again) {
    return [=](Connection& connection) {
      connection.ReadHead();
      bool there = connection.Send(first);
      while (there) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        there = connection.Send(again);
      }
    };
  };
  Server head(trickle("HTTP/1.1 200 OK\r\nA: ", "a"));
  Server body(trickle("HTTP/1.1 200 OK\r\n\r\n", "a"));
  for (const Server* server : {&head, &body}) {
    ASSERT_TRUE(options.policy.Allow(server->Origin()).ok());
    Open();
    EXPECT_EQ(Fetch({.url = server->Url(), .timeout_ms = 400}).error, HttpError::kTimeout);
  }
}

TEST_F(HangTest, CancelledAtEveryStage) {
  const FullPort port;
  Server mute([](Connection& connection) {
    while (!connection.Read().empty()) {
    }
  });
  Server silent(Stopping(""));
  Server half(Stopping("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
  options.limits.connect_timeout_ms = options.limits.idle_timeout_ms = 60'000;
  for (const std::string& url :
       {port.Url(), "https" + mute.Url().substr(4), silent.Url(), half.Url()}) {
    ASSERT_TRUE(options.policy.Allow(url.substr(0, url.rfind('/'))).ok());
    Open();
    const uint64_t id = Send({.url = url});
    RunFor(50);
    EXPECT_FALSE(answers[id].finished) << url;
    Post(abi::RecordType::kHttpCancel, id);
    EXPECT_EQ(answers[id].error, HttpError::kCancelled) << url;
    EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
  }
  Over();
}

}  // namespace
}  // namespace usetl::test
