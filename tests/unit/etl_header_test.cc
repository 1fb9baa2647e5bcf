#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "vmm/proxy/etl/header_block.h"
#include "vmm/proxy/etl/request.h"

namespace usetl::etl {
namespace {

std::string Names(std::string_view block) {
  const auto headers = ParseRequestHeaders(block);
  if (!headers.ok()) return "refused";
  std::string names;
  for (const Header& header : *headers) names += header.name + "=" + header.value + ";";
  return names;
}

TEST(RequestHeaders, KeepsWhatMayPass) {
  EXPECT_EQ(Names(""), "");
  EXPECT_EQ(Names("Accept: */*\r\nX-Empty:\r\nX-Tab:\t a\tb \r\n"),
            "Accept=*/*;X-Empty=;X-Tab=a\tb;");
  EXPECT_EQ(Names("Authorization: Bearer a:b\r\nCookie: c\r\n"),
            "Authorization=Bearer a:b;Cookie=c;");
  EXPECT_EQ(Names("X: caf\xc3\xa9\r\n"), "X=caf\xc3\xa9;");
}

TEST(RequestHeaders, DropsWhatMustNot) {
  EXPECT_EQ(
      Names("Host: x\r\ncontent-length: 5\r\nExpect: 100-continue\r\nConnection: x-a, close\r\n"
            "X-A: 1\r\nKeep-Alive: 1\r\nProxy-Authorization: b\r\nproxy-x: c\r\nTE: trailers\r\n"
            "Trailer: z\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nHTTP2-Settings: q\r\n"
            "Metadata-Flavor: Google\r\nMetadata: true\r\nX-aws-ec2-metadata-token: t\r\n"
            "X-AWS-EC2-Metadata-Token-TTL-Seconds: 1\r\nX-Google-Metadata-Request: True\r\n"
            "X-B: 2\r\n"),
      "X-B=2;");
}

TEST(RequestHeaders, RefusesBadOnes) {
  for (const std::string_view block :
       {"A: b", "A: b\n", "A: b\r", "A b\r\n", ": b\r\n", "A : b\r\n", " A: b\r\n", "A\t: b\r\n",
        "A: b\nC: d\r\n", "A: b\rC: d\r\n", "A: \x01\r\n", "A: \x7f\r\n", "\r\n", "A: b\r\n\r\n",
        "A(: b\r\n", "\xc3\xa4: b\r\n", "A: b\r\n folded\r\n"}) {
    EXPECT_EQ(Names(block), "refused") << block;
  }
  EXPECT_EQ(Names(std::string_view("A: b\0c\r\n", 8)), "refused");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "A: b\r\n";
  EXPECT_NE(Names(many), "refused");
  EXPECT_EQ(Names(many + "A: b\r\n"), "refused");
  EXPECT_EQ(Names("A: " + std::string(kMaxRequestHeaderBytes, 'a') + "\r\n"), "refused");
}

TEST(ResponseHeaders, KeepsTheFinalAnswer) {
  ResponseHeaders headers;
  for (const char* line :
       {"HTTP/1.1 100 Continue\r\n", "X-Early: 1\r\n", "\r\n", "HTTP/1.1 200 OK\r\n",
        "Content-Type: text/plain\r\n", "Connection: x-hop\r\n", "X-Hop: 1\r\n",
        "Transfer-Encoding: chunked\r\n", "X-Fold: a\r\n", "\t b\r\n", "bad line\r\n",
        "Bad Name: x\r\n", "Bad: \x01\r\n", "Content-Length: 5\r\n"}) {
    EXPECT_TRUE(headers.Add(line));
    EXPECT_FALSE(headers.complete());
  }
  EXPECT_TRUE(headers.Add("\r\n"));
  EXPECT_TRUE(headers.complete());
  EXPECT_TRUE(headers.Add("X-Trailer: 1\r\n"));
  EXPECT_EQ(headers.status(), 200);
  EXPECT_EQ(headers.Block(), "Content-Type: text/plain\r\nX-Fold: a b\r\nContent-Length: 5\r\n");
  EXPECT_EQ(headers.Find("content-TYPE"), "text/plain");
}

TEST(ResponseHeaders, AreBounded) {
  ResponseHeaders many;
  many.Add("HTTP/1.1 200 OK\r\n");
  int count = 0;
  while (many.Add("A: b\r\n")) ++count;
  EXPECT_EQ(count, 100);
  ResponseHeaders large;
  EXPECT_FALSE(large.Add("A: " + std::string(kMaxResponseHeaderBytes, 'a')));
  ResponseHeaders early;
  int answers = 0;
  while (early.Add("HTTP/1.1 100 Continue\r\n") && early.Add("\r\n")) ++answers;
  EXPECT_LE(answers, 200);
  ResponseHeaders junk;
  int lines = 0;
  while (junk.Add("junk\r\n")) ++lines;
  EXPECT_LE(lines, 200);
}

class RequestRecord : public testing::Test {
 protected:
  Result<Request> Parse() {
    std::vector<uint8_t> bytes(sizeof head + tail.size());
    std::memcpy(bytes.data(), &head, sizeof head);
    std::memcpy(bytes.data() + sizeof head, tail.data(), tail.size());
    return ParseRequest(bytes, Limits{}, GuestRegionView(guest.data(), guest.size()));
  }
  int Code() { return Parse().status().code(); }

  std::vector<uint8_t> guest = std::vector<uint8_t>(8192);
  abi::HttpRequest head{.method_size = 3, .url_size = 8, .headers_size = 6};
  std::string tail = "GEThttp://xA: b\r\n";
};

TEST_F(RequestRecord, IsParsed) {
  head.body = abi::BodyKind::kInline;
  head.body_size = 2;
  head.timeout_ms = 100;
  head.max_body = 7;
  head.flags = abi::kHttpStream | abi::kHttpNoRedirect;
  tail += "xyz";
  const auto request = Parse();
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->url, "http://x");
  EXPECT_EQ(request->headers.size(), 1u);
  EXPECT_EQ(request->inline_body.size(), 2u);
  EXPECT_EQ(request->timeout_ms, 100u);
  EXPECT_EQ(request->max_body, 7u);
  EXPECT_TRUE(request->stream && request->no_redirect && !request->may_stream);
}

TEST_F(RequestRecord, CapsWhatTheGuestAsksFor) {
  head.timeout_ms = ~0u;
  head.max_body = ~uint64_t{0};
  const auto request = Parse();
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->timeout_ms, Limits{}.total_timeout_ms);
  EXPECT_EQ(request->max_body, Limits{}.max_body);
}

TEST_F(RequestRecord, BrokenOnesEndTheFunction) {
  const abi::HttpRequest good = head;
  head.url_size = 100;
  EXPECT_EQ(Code(), EPROTO);
  head = good;
  head.method_size = ~0u;
  EXPECT_EQ(Code(), EPROTO);
  head = good;
  head.body = abi::BodyKind::kFile;
  EXPECT_EQ(Code(), EPROTO);
  head.body = static_cast<abi::BodyKind>(77);
  EXPECT_EQ(Code(), EPROTO);
  head.body = abi::BodyKind::kInline;
  head.body_size = 1;
  EXPECT_EQ(Code(), EPROTO);
  head.body = abi::BodyKind::kRegion;
  head.body_offset = 8192;
  EXPECT_EQ(Code(), EPROTO);
  head.body_offset = ~uint64_t{0};
  EXPECT_EQ(Code(), EPROTO);
  head = good;
  head.flags = 0x80;
  EXPECT_EQ(Code(), EPROTO);
  EXPECT_EQ(ParseRequest({}, Limits{}, GuestRegionView(guest.data(), guest.size())).status().code(),
            EPROTO);
}

TEST_F(RequestRecord, BadOnesAreAnswered) {
  tail = "G Thttp://xA: b\r\n";
  EXPECT_EQ(Code(), EINVAL);
  tail = "GEThttp://xA:\nb\r\n";
  EXPECT_EQ(Code(), EINVAL);
  head = {.method_size = 7, .url_size = 8};
  tail = "CONNECThttp://x";
  EXPECT_EQ(Code(), EINVAL);
  tail = "connecthttp://x";
  EXPECT_EQ(Code(), EINVAL);
  head = {.method_size = 4, .url_size = 8, .body = abi::BodyKind::kStream};
  tail = "HEADhttp://x";
  EXPECT_EQ(Code(), EINVAL);
  head = {.method_size = 3,
          .url_size = 8,
          .body = abi::BodyKind::kStream,
          .body_size = ~uint64_t{0} - 1};
  tail = "PUThttp://x";
  EXPECT_EQ(Code(), EFBIG);
}

}  // namespace
}  // namespace usetl::etl
