#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::BodyKind;
using abi::HttpError;

class RedirectTest : public EtlTest {
 protected:
  void Allow(const Server& server) { ASSERT_TRUE(options.policy.Allow(server.Origin()).ok()); }
};

std::string To(const std::string& location, const char* status = "302 Found") {
  return Reply(status, "moved", "Location: " + location + "\r\n");
}

// Answers with the request's line, credentials and body; "/to?STATUS" redirects to "/end".
std::string Describe(const std::string& head, const std::string& body) {
  const size_t at = head.find("/to?");
  if (at != std::string::npos) return To("/end", head.substr(at + 4, 3).c_str());
  return Reply("200 OK", head.substr(0, head.find(" HTTP")) + "|" +
                             HeaderOf(head, "Authorization") + HeaderOf(head, "Cookie") + "|" +
                             HeaderOf(head, "Content-Type") + "|" + body);
}

TEST_F(RedirectTest, FollowsChainsUpToFive) {
  Server server(Answering([](const std::string& head, const std::string&) {
    const int left = std::atoi(head.c_str() + 5);
    return left == 0 ? Reply("200 OK", "end") : To(std::to_string(left - 1));
  }));
  Allow(server);
  EXPECT_EQ(Get(server.Url("/5")).body, "end");
  EXPECT_EQ(proxy().counters().redirects, 5u);
  EXPECT_EQ(Get(server.Url("/6")).error, HttpError::kRedirects);
  const Answer plain = Get(server.Url("/6"), abi::kHttpNoRedirect);
  EXPECT_EQ(plain.head.status, 302u);
  EXPECT_EQ(plain.body, "moved");
  EXPECT_NE(plain.headers.find("Location: 5\r\n"), std::string::npos);
}

TEST_F(RedirectTest, EndsLoops) {
  Server server(Answering([](const std::string&, const std::string&) { return To("/same"); }));
  Allow(server);
  EXPECT_EQ(Get(server.Url("/same")).error, HttpError::kRedirects);
}

TEST_F(RedirectTest, RewritesMethods) {
  Server server(Answering(Describe));
  Allow(server);
  const auto ask = [&](const char* method, const std::string& path) {
    return Fetch({.method = method,
                  .url = server.Url(path),
                  .headers = "Content-Type: t\r\n",
                  .kind = BodyKind::kRegion,
                  .body = "data"})
        .body;
  };
  EXPECT_EQ(ask("POST", "/to?301"), "GET /end|||");
  EXPECT_EQ(ask("POST", "/to?302"), "GET /end|||");
  EXPECT_EQ(ask("POST", "/to?303"), "GET /end|||");
  EXPECT_EQ(ask("PUT", "/to?303"), "GET /end|||");
  EXPECT_EQ(ask("PUT", "/to?302"), "PUT /end||t|data");
  EXPECT_EQ(ask("POST", "/to?307"), "POST /end||t|data");
  EXPECT_EQ(ask("POST", "/to?308"), "POST /end||t|data");
}

TEST_F(RedirectTest, SendsStreamedBodiesOnce) {
  Server server(Answering(Describe));
  Allow(server);
  for (const auto& [path, error] :
       {std::pair("/to?303", HttpError::kNone), std::pair("/to?307", HttpError::kRedirects)}) {
    const uint64_t id =
        Send({.method = "POST", .url = server.Url(path), .kind = BodyKind::kStream});
    SendBody(id, "data", 0);
    Post(abi::RecordType::kHttpBodyEnd, id);
    EXPECT_EQ(Wait(id).error, error);
  }
}

TEST_F(RedirectTest, KeepsCredentialsWithTheirOrigin) {
  Server other(Answering(Describe));
  Server server(Answering([&](const std::string& head, const std::string& body) {
    return head.find("/away") != std::string::npos ? To(other.Url("/end")) : Describe(head, body);
  }));
  Allow(other);
  Allow(server);
  const std::string headers = "Authorization: secret\r\ncookie: c\r\n";
  EXPECT_EQ(Fetch({.url = server.Url("/to?302"), .headers = headers}).body, "GET /end|secretc||");
  EXPECT_EQ(Fetch({.url = server.Url("/away"), .headers = headers}).body, "GET /end|||");
}

TEST_F(RedirectTest, ChecksEveryHop) {
  Server forbidden(Answering(Describe));
  std::string location;
  Server server(Answering([&](const std::string&, const std::string&) { return To(location); }));
  Allow(server);
  location = forbidden.Url();
  EXPECT_EQ(Get(server.Url()).error, HttpError::kDenied);
  location = "http://169.254.169.254/latest/";
  EXPECT_EQ(Get(server.Url()).error, HttpError::kDenied);
  for (const char* bad : {"file:///etc/passwd", "http://127.1/", "gopher://x/", "http://u:p@x/"}) {
    location = bad;
    EXPECT_EQ(Get(server.Url()).error, HttpError::kRedirects) << bad;
  }
  EXPECT_EQ(forbidden.connections(), 0);
}

TEST_F(RedirectTest, DropsLargeBodiesOfRedirects) {
  Server server(Answering([](const std::string& head, const std::string&) {
    if (head.find("/end") != std::string::npos) return Reply("200 OK", "end");
    return Reply("302 Found", Pattern(4 << 20), "Location: /end\r\n");
  }));
  Allow(server);
  EXPECT_EQ(Get(server.Url()).body, "end");
}

}  // namespace
}  // namespace usetl::test
