// Methods, bodies and headers against well-behaved servers.
#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::BodyKind;
using abi::HttpError;

class HttpTest : public EtlTest {
 protected:
  void Allow(const Server& server) { ASSERT_TRUE(options.policy.Allow(server.Origin()).ok()); }
};

// Answers with what it was asked.
std::string Echo(const std::string& head, const std::string& body) {
  return Reply("200 OK", body, "X-Line: " + head.substr(0, head.find("\r\n")) + "\r\n");
}

TEST_F(HttpTest, GetsASmallBody) {
  Server server(Answering([](const std::string&, const std::string&) {
    return Reply("200 OK", "hello", "Content-Type: text/plain\r\nConnection: keep-alive\r\n");
  }));
  Allow(server);
  const Answer answer = Get(server.Url("/a?b"));
  EXPECT_EQ(answer.error, HttpError::kNone);
  EXPECT_EQ(answer.head.status, 200u);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.headers, "Content-Length: 5\r\nContent-Type: text/plain\r\n");
  EXPECT_EQ(region->live_bodies(), 1u);
  Release(answer);
  Release(answer);
  EXPECT_EQ(region->live_bodies(), 0u);
  EXPECT_EQ(proxy().open_transactions(), 0u);
  EXPECT_EQ(proxy().counters().bytes_in, 5u);
}

TEST_F(HttpTest, GetsALargeBody) {
  const std::string content = Pattern(64 << 20);
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Allow(server);
  const Answer answer = Get(server.Url());
  EXPECT_EQ(answer.error, HttpError::kNone);
  EXPECT_TRUE(answer.body == content);
}

TEST_F(HttpTest, GetsChunkedAndUndelimitedBodies) {
  const std::string content = Pattern(5 << 20);
  Server chunked(Answering([&](const std::string&, const std::string&) {
    std::string reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t at = 0; at < content.size(); at += 100'000) {
      const std::string part = content.substr(at, 100'000);
      char size[32];
      std::snprintf(size, sizeof size, "%zx\r\n", part.size());
      reply += size + part + "\r\n";
    }
    return reply + "0\r\nX-Trailer: 1\r\n\r\n";
  }));
  Server undelimited([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n\r\n" + content);
  });
  Allow(chunked);
  Allow(undelimited);
  const Answer first = Get(chunked.Url());
  EXPECT_TRUE(first.body == content);
  EXPECT_EQ(first.headers, "");
  EXPECT_TRUE(Get(undelimited.Url()).body == content);
}

TEST_F(HttpTest, AnswersWithoutABody) {
  Server server(Answering([](const std::string& head, const std::string&) {
    if (head.starts_with("HEAD"))
      return std::string("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    if (head.find("/304") != std::string::npos) return std::string("HTTP/1.1 304 X\r\n\r\n");
    if (head.find("/empty") != std::string::npos) return Reply("200 OK", "");
    return std::string("HTTP/1.1 204 No Content\r\n\r\n");
  }));
  Allow(server);
  const Answer head = Fetch({.method = "HEAD", .url = server.Url()});
  EXPECT_EQ(head.headers, "Content-Length: 99\r\n");
  EXPECT_EQ(head.head.entry, abi::kNoEntry);
  EXPECT_EQ(head.head.body_size, 0u);
  EXPECT_EQ(Get(server.Url()).head.status, 204u);
  EXPECT_EQ(Get(server.Url("/304")).head.status, 304u);
  EXPECT_EQ(Get(server.Url("/empty")).head.entry, abi::kNoEntry);
  EXPECT_EQ(Get(server.Url("/empty"), abi::kHttpStream).head.streamed, 0u);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpTest, SendsEveryMethod) {
  Server server(Answering(Echo));
  Allow(server);
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"}) {
    const Answer answer = Fetch({.method = method, .url = server.Url("/m")});
    EXPECT_EQ(answer.head.status, 200u) << method;
    EXPECT_NE(answer.headers.find(std::string("X-Line: ") + method + " /m HTTP/1.1\r\n"),
              std::string::npos);
    const Answer with_body = Fetch(
        {.method = method, .url = server.Url("/m"), .kind = BodyKind::kInline, .body = "12345"});
    EXPECT_EQ(with_body.body, "12345") << method;
  }
}

TEST_F(HttpTest, SendsBodiesFromTheGuestRegion) {
  Server server(Answering(Echo));
  Allow(server);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{70'000}, size_t{20} << 20}) {
    const std::string content = Pattern(size);
    const Answer answer =
        Fetch({.method = "POST", .url = server.Url(), .kind = BodyKind::kRegion, .body = content});
    EXPECT_EQ(answer.error, HttpError::kNone);
    EXPECT_TRUE(answer.body == content) << size;
  }
}

TEST_F(HttpTest, SendsHeadersOfItsOwn) {
  std::string seen, seen_body;
  Server server(Answering([&](const std::string& head, const std::string& body) {
    seen = head;
    seen_body = body;
    return Reply("200 OK", "");
  }));
  Allow(server);
  Fetch({.method = "POST",
         .url = server.Url("/p"),
         .headers = "X-A: 1\r\nX-Empty: \r\nHost: evil\r\nContent-Length: 1\r\nMetadata-Flavor: "
                    "Google\r\nUser-Agent: f\r\n",
         .kind = BodyKind::kInline,
         .body = "body"});
  EXPECT_EQ(HeaderOf(seen, "X-A"), "1");
  EXPECT_NE(seen.find("X-Empty:"), std::string::npos);
  EXPECT_EQ(HeaderOf(seen, "Host"), "127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(HeaderOf(seen, "Content-Length"), "4");
  EXPECT_EQ(HeaderOf(seen, "User-Agent"), "f");
  EXPECT_EQ(HeaderOf(seen, "Content-Type"), "");
  EXPECT_EQ(HeaderOf(seen, "Expect"), "");
  EXPECT_EQ(HeaderOf(seen, "Metadata-Flavor"), "");
  EXPECT_EQ(seen_body, "body");
  Fetch({.method = "POST", .url = server.Url()});
  EXPECT_EQ(HeaderOf(seen, "Content-Length"), "0");
}

TEST_F(HttpTest, IgnoresProxiesOfTheEnvironment) {
  Server server(Answering(Echo));
  Allow(server);
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  EXPECT_EQ(Get(server.Url()).error, HttpError::kNone);
  unsetenv("http_proxy");
}

TEST_F(HttpTest, RunsRequestsAtOnce) {
  Server server(Answering([](const std::string& head, const std::string&) {
    return Reply("200 OK", Pattern(300'000, static_cast<uint8_t>(std::atoi(head.c_str() + 5))));
  }));
  Allow(server);
  options.limits.max_active = 8;  // the others wait for their turn
  std::vector<uint64_t> ids;
  for (int i = 0; i < 32; ++i) ids.push_back(Send({.url = server.Url("/" + std::to_string(i))}));
  for (int i = 0; i < 32; ++i) {
    const Answer& answer = Wait(ids[i]);
    EXPECT_EQ(answer.error, HttpError::kNone);
    EXPECT_TRUE(answer.body == Pattern(300'000, static_cast<uint8_t>(i)));
  }
  EXPECT_LE(server.connections(), 8);
}

TEST_F(HttpTest, RefusesTooManyTransactions) {
  Server server([&](Connection& connection) {
    connection.Read();
    connection.Read();
  });
  Allow(server);
  options.limits.max_open = 4;
  for (int i = 0; i < 4; ++i) Send({.url = server.Url()});
  EXPECT_EQ(Get(server.Url()).error, HttpError::kNoSpace);
  EXPECT_EQ(proxy().open_transactions(), 4u);
  proxy().CancelAll();
  EXPECT_EQ(proxy().open_transactions(), 0u);
}

TEST_F(HttpTest, WaitsForRoomInTheRing) {
  Server server(Answering(
      [](const std::string&, const std::string&) { return Reply("200 OK", Pattern(1 << 20)); }));
  Allow(server);
  Open();
  ring_full = true;
  const uint64_t stored = Send({.url = server.Url()});
  const uint64_t streamed = Send({.url = server.Url(), .flags = abi::kHttpStream});
  const uint64_t bad = Send({.url = "nonsense"});
  RunFor(200);
  EXPECT_TRUE(proxy().congested());
  EXPECT_TRUE(answers.empty());
  ring_full = false;
  proxy().OnRingRoom();
  EXPECT_FALSE(proxy().congested());
  EXPECT_EQ(Wait(bad).error, HttpError::kBadRequest);
  EXPECT_TRUE(Wait(stored).body == Pattern(1 << 20));
  EXPECT_TRUE(Wait(streamed).body == Pattern(1 << 20));
}

TEST_F(HttpTest, EndsHostileFunctions) {
  Server server([&](Connection& connection) {
    connection.Read();
    connection.Read();
  });
  Allow(server);
  const uint64_t id = Send({.url = server.Url()});
  EXPECT_TRUE(last_status.ok());
  abi::HttpRequest request{};
  Post(abi::RecordType::kHttpRequest, id, &request, sizeof request);  // open already
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kHttpRequest, 77, "x", 1);
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kHttpConsumed, id, "x", 1);
  EXPECT_EQ(last_status.code(), EPROTO);
  const abi::HttpSpan span{0, 5};
  Post(abi::RecordType::kHttpConsumed, id, &span, sizeof span);  // nothing was streamed
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kHttpBody, id, &span, sizeof span);  // no streamed body was announced
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kHttpBodyEnd, id);
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kRelease, id, "x", 1);
  EXPECT_EQ(last_status.code(), EPROTO);
  Post(abi::RecordType::kResult, id);
  EXPECT_EQ(last_status.code(), EPROTO);
  // Records that crossed a last one are forgotten.
  Post(abi::RecordType::kHttpConsumed, 4711, &span, sizeof span);
  EXPECT_TRUE(last_status.ok());
  Post(abi::RecordType::kHttpCancel, 4711);
  EXPECT_TRUE(last_status.ok());
}

}  // namespace
}  // namespace usetl::test
