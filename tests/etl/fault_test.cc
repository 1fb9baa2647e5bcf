// Peers and names that fail, and requests that the policy or the limits refuse.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::HttpError;

class FaultTest : public EtlTest {
 protected:
  void Allow(const Server& server) { ASSERT_TRUE(options.policy.Allow(server.Origin()).ok()); }
  // The error of a GET from a server that answers with these bytes and closes.
  HttpError ErrorFrom(const std::string& bytes, uint32_t flags = 0) {
    Server server([&](Connection& connection) {
      connection.ReadHead();
      connection.Send(bytes);
    });
    // One proxy serves one policy: the port is known only now.
    EXPECT_TRUE(options.policy.Allow(server.Origin()).ok());
    Open();
    const Answer answer = Get(server.Url(), flags);
    EXPECT_EQ(region->live_bodies(), 0u);
    EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
    if (answer.error != HttpError::kNone) {
      EXPECT_FALSE(answer.message.empty());
      EXPECT_EQ(audit.size(), 1u);
      audit.clear();
    }
    return answer.error;
  }
};

TEST_F(FaultTest, DeniesByDefault) {
  Server server(Answering([](const std::string&, const std::string&) { return Reply("200", ""); }));
  const Answer answer = Get(server.Url("/path?secret"));
  EXPECT_EQ(answer.error, HttpError::kDenied);
  EXPECT_EQ(server.connections(), 0);
  ASSERT_EQ(audit.size(), 1u);
  EXPECT_EQ(audit[0].url, server.Url("/path"));
  EXPECT_NE(audit[0].cause.find("allow-list"), std::string::npos);
  EXPECT_EQ(answer.message.find("allow-list"), std::string::npos);
  EXPECT_EQ(proxy().counters().denied, 1u);
}

TEST_F(FaultTest, DeniesAddressesThatNamesLeadTo) {
  Server server(Answering([](const std::string&, const std::string&) { return Reply("200", ""); }));
  ASSERT_TRUE(options.policy.Allow("*").ok());
  const std::string port = std::to_string(server.port());
  for (const std::string& url :
       {"http://localhost:" + port, "http://127.0.0.1:" + port, "http://[::ffff:127.0.0.1]:" + port,
        "http://0.0.0.0:" + port, std::string("http://169.254.169.254/")}) {
    EXPECT_EQ(Get(url).error, HttpError::kDenied) << url;
  }
  EXPECT_EQ(server.connections(), 0);
  EXPECT_NE(audit[0].cause.find("internal address"), std::string::npos);
}

TEST_F(FaultTest, ANamedHostOpensWhatItLeadsTo) {
  Server server(Answering([](const std::string&, const std::string&) { return Reply("200", ""); }));
  const std::string url = "http://localhost:" + std::to_string(server.port());
  ASSERT_TRUE(options.policy.Allow(url).ok());
  EXPECT_EQ(Get(url).head.status, 200u);
}

TEST_F(FaultTest, ReportsRefusedPorts) {
  std::string url;
  {
    Server gone([](Connection&) {});
    url = gone.Url();
  }
  ASSERT_TRUE(options.policy.Allow(url).ok());
  EXPECT_EQ(Get(url).error, HttpError::kConnect);
}

TEST_F(FaultTest, ReportsUnknownNames) {
  ASSERT_TRUE(options.policy.Allow("*").ok());
  EXPECT_EQ(Get("http://no-such-host.invalid/").error, HttpError::kResolve);
}

TEST_F(FaultTest, SendsTwiceOnlyWhatDoesNoHarm) {
  std::mutex mutex;
  std::vector<std::string> asked;
  // Answers once on each connection, and leaves what comes then.
  Server server([&](Connection& connection) {
    for (const bool first : {true, false}) {
      const std::string head = connection.ReadHead();
      if (head.empty()) return;
      connection.ReadBody(head);
      {
        const std::lock_guard lock(mutex);
        asked.push_back(head.substr(0, head.find(" HTTP")));
      }
      if (first) connection.Send(Reply("200 OK", "", "Connection: keep-alive\r\n"));
    }
  });
  Allow(server);
  const auto times = [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    return std::ranges::count(asked, line);
  };
  int number = 0;
  for (const char* method : {"POST", "PATCH", "LOCK", "GET", "PUT", "DELETE"}) {
    const bool harmless = number >= 6;
    for (const char* body : {"", "x"}) {
      ASSERT_EQ(Get(server.Url("/first")).error, HttpError::kNone);
      const std::string path = "/" + std::to_string(number++);
      const auto kind = *body == 0 ? abi::BodyKind::kNone : abi::BodyKind::kInline;
      const Answer answer =
          Fetch({.method = method, .url = server.Url(path), .kind = kind, .body = body});
      EXPECT_EQ(times(method + (" " + path)), harmless ? 2 : 1) << method;
      EXPECT_EQ(answer.error, harmless ? HttpError::kNone : HttpError::kProtocol) << method;
      if (harmless) continue;
      EXPECT_NE(audit.back().cause.find("not sent twice"), std::string::npos) << audit.back().cause;
    }
  }
}

TEST_F(FaultTest, APostThatWasSentIsNoFailureToConnect) {
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener.get(), any, size), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(getsockname(listener.get(), any, &size), 0);
  std::thread server([&] {
    const Fd connection(accept(listener.get(), nullptr, nullptr));
    listener = Fd();  // nobody connects again
    char bytes[4096];
    if (read(connection.get(), bytes, sizeof bytes) <= 0) return;
    const std::string reply = Reply("200 OK", "", "Connection: keep-alive\r\n");
    if (write(connection.get(), reply.data(), reply.size()) < 0) return;
    (void)!read(connection.get(), bytes, sizeof bytes);  // and is gone
  });
  const std::string origin = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  ASSERT_TRUE(options.policy.Allow(origin).ok());
  EXPECT_EQ(Get(origin).error, HttpError::kNone);
  EXPECT_EQ(Fetch({.method = "POST", .url = origin}).error, HttpError::kProtocol);
  EXPECT_NE(audit.back().cause.find("not sent twice"), std::string::npos) << audit.back().cause;
  server.join();
  EXPECT_EQ(Get(origin).error, HttpError::kConnect);
}

TEST_F(FaultTest, TimesOut) {
  Server silent([](Connection& connection) {
    connection.ReadHead();
    connection.Read();
  });
  Server stuck([](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    connection.Read();
  });
  Allow(silent);
  Allow(stuck);
  for (const uint32_t flags : {0u, uint32_t{abi::kHttpStream}}) {
    for (const Server* server : {&silent, &stuck}) {
      const auto begin = std::chrono::steady_clock::now();
      const Answer answer = Fetch({.url = server->Url(), .timeout_ms = 300, .flags = flags});
      EXPECT_EQ(answer.error, HttpError::kTimeout);
      EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(300));
    }
  }
}

TEST_F(FaultTest, GivesUpIdlePeers) {
  Server stuck([](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    connection.Read();
  });
  Allow(stuck);
  options.limits.idle_timeout_ms = 100;
  EXPECT_EQ(Get(stuck.Url()).error, HttpError::kTimeout);
  EXPECT_NE(audit.at(0).cause.find("idle"), std::string::npos);
}

TEST_F(FaultTest, TimesOutWhileWaitingForATurn) {
  Server silent([](Connection& connection) {
    connection.ReadHead();
    connection.Read();
  });
  Allow(silent);
  options.limits.max_active = 1;
  Send({.url = silent.Url()});
  EXPECT_EQ(Fetch({.url = silent.Url(), .timeout_ms = 50}).error, HttpError::kTimeout);
}

TEST_F(FaultTest, RefusesHalfAnswers) {
  EXPECT_EQ(ErrorFrom(""), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nContent-Le"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", abi::kHttpStream),
            HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"),
            HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf"),
            HttpError::kProtocol);
}

TEST_F(FaultTest, RefusesWhatIsNotHttp) {
  EXPECT_EQ(ErrorFrom("hello\n"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("SSH-2.0-OpenSSH_9.2\r\n"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello"), HttpError::kProtocol);
}

TEST_F(FaultTest, RefusesTwoLengths) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: ";
  EXPECT_EQ(ErrorFrom(head + "8\r\n\r\nhalfMORE"), HttpError::kProtocol);
  EXPECT_EQ(ErrorFrom(head + "0\r\n\r\n"), HttpError::kNone);
}

TEST_F(FaultTest, TakesTheAnnouncedLength) {
  Server server([](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalfMORE");
  });
  Allow(server);
  EXPECT_EQ(Get(server.Url()).body, "half");
}

TEST_F(FaultTest, BoundsHeaders) {
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 101; ++i) many += "A: b\r\n";
  EXPECT_EQ(ErrorFrom(many + "\r\n"), HttpError::kTooLarge);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nA: " + std::string(70'000, 'a') + "\r\n\r\n"),
            HttpError::kTooLarge);
  // Fits the limit but no record.
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nA: " + std::string(40'000, 'a') + "\r\n\r\n"),
            HttpError::kTooLarge);
  EXPECT_EQ(ErrorFrom("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: " + std::string(30'000, 'a') +
                      "\r\n\r\n"),
            HttpError::kNone);
}

TEST_F(FaultTest, EndlessHeaders) {
  std::string line = "X-Endless: " + std::string(50, 'a') + "\r\n";
  Server lines([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n");
    while (connection.Send(line)) {
    }
  });
  Server one_line([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nA: ");
    while (connection.Send(std::string(1000, 'a'))) {
    }
  });
  Server early([&](Connection& connection) {
    connection.ReadHead();
    while (connection.Send("HTTP/1.1 100 Continue\r\n\r\n")) {
    }
  });
  for (const Server* server : {&lines, &one_line, &early}) Allow(*server);
  for (const Server* server : {&lines, &one_line, &early}) {
    EXPECT_EQ(Get(server->Url()).error, HttpError::kTooLarge);
  }
}

TEST_F(FaultTest, BoundsBodies) {
  const std::string content = Pattern(1 << 20);
  Server known(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Server endless([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n\r\n");
    while (connection.Send(content)) {
    }
  });
  Allow(known);
  Allow(endless);
  for (const Server* server : {&known, &endless}) {
    for (const uint32_t flags : {0u, uint32_t{abi::kHttpStream}}) {
      EXPECT_EQ(Fetch({.url = server->Url(), .max_body = 1'000'000, .flags = flags}).error,
                HttpError::kTooLarge);
    }
  }
  EXPECT_EQ(Fetch({.url = known.Url(), .max_body = content.size()}).error, HttpError::kNone);
}

TEST_F(FaultTest, ReportsAFullRegion) {
  const std::string content = Pattern(1 << 20);
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Allow(server);
  region_size = 2 << 20;
  const Answer first = Get(server.Url());
  EXPECT_EQ(first.error, HttpError::kNone);
  EXPECT_EQ(Get(server.Url()).error, HttpError::kNoSpace);
  Release(first);
  EXPECT_EQ(Get(server.Url()).error, HttpError::kNone);
}

TEST_F(FaultTest, AnswersBadRequests) {
  ASSERT_TRUE(options.policy.Allow("*").ok());
  for (const char* url : {"", "x", "ftp://x/", "http://127.1/", "http://u@x/", "file:x"}) {
    EXPECT_EQ(Get(url).error, HttpError::kBadRequest) << url;
  }
  EXPECT_EQ(Fetch({.method = "CONNECT", .url = "http://x/"}).error, HttpError::kBadRequest);
  EXPECT_EQ(Fetch({.url = "http://x/", .headers = "bad\r\n"}).error, HttpError::kBadRequest);
}

}  // namespace
}  // namespace usetl::test
