#include "vmm/proxy/etl/policy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "vmm/proxy/etl/headers.h"

namespace usetl {
namespace {

sockaddr_storage Address(const char* text) {
  sockaddr_storage storage{};
  auto* four = reinterpret_cast<sockaddr_in*>(&storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
  } else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
  }
  return storage;
}

const sockaddr* At(const sockaddr_storage& s) { return reinterpret_cast<const sockaddr*>(&s); }

bool Parses(const char* url) {
  Origin origin;
  std::string canonical;
  return ParseUrl(url, &origin, &canonical).ok();
}

TEST(ParseUrl, AcceptsPlainOnes) {
  for (const char* url :
       {"http://example.com", "https://example.com/a?b=c", "http://127.0.0.1:8080/x",
        "https://EXAMPLE.com./", "http://[::1]:80/", "http://a-b.c_d.example:1/"}) {
    EXPECT_TRUE(Parses(url)) << url;
  }
}

TEST(ParseUrl, RefusesTricks) {
  for (const char* url :
       {"", "example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://x/", "http://",
        "http://user@example.com/", "http://u:p@example.com/", "http://example.com /",
        "http://exa\tmple.com/", "http://example.com\\@evil/", "http://2852039166/",
        "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://127.1/", "http://0x7f.1/",
        "http://127.0.0.1.0x1/", "http://[::1/", "http://[zz]/", "http://ex%61mple.com/",
        "http://example.com:0/", "http://example.com:99999/", "http://ex\xc3\xa4mple.com/",
        "http://1.2.3/", "http://256.1.1.1/", "http://.../"}) {
    EXPECT_FALSE(Parses(url)) << url;
  }
  EXPECT_FALSE(Parses(("http://example.com/" + std::string(9000, 'a')).c_str()));
}

TEST(ParseUrl, GivesTheOrigin) {
  Origin origin;
  std::string canonical;
  ASSERT_TRUE(ParseUrl("HTTPS://Example.COM./x#f", &origin, &canonical).ok());
  EXPECT_EQ(origin, (Origin{"https", "example.com", 443}));
  EXPECT_EQ(canonical.find('#'), std::string::npos);
}

TEST(Addresses, InternalOnesAreKnown) {
  for (const char* text :
       {"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.1.1", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::808:808",
        "64:ff9b:1::1", "2001:0:1::1"}) {
    EXPECT_TRUE(IsInternalAddress(At(Address(text)))) << text;
  }
  for (const char* text : {"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1",
                           "198.20.0.1", "223.255.255.255", "2606:4700::1", "2a00:1450::1"}) {
    EXPECT_FALSE(IsInternalAddress(At(Address(text)))) << text;
  }
}

TEST(Policy, DeniesByDefaultAndOpensExactly) {
  Policy policy;
  const Origin named{"http", "127.0.0.1", 8080};
  EXPECT_FALSE(policy.CheckOrigin(named).ok());
  ASSERT_TRUE(policy.Allow("http://127.0.0.1:8080").ok());
  EXPECT_TRUE(policy.CheckOrigin(named).ok());
  EXPECT_TRUE(policy.CheckAddress(named, At(Address("127.0.0.1"))).ok());
  EXPECT_FALSE(policy.CheckOrigin({"http", "127.0.0.1", 8081}).ok());
  EXPECT_FALSE(policy.CheckOrigin({"https", "127.0.0.1", 8080}).ok());
  EXPECT_FALSE(policy.CheckOrigin({"http", "127.0.0.2", 8080}).ok());
}

TEST(Policy, PublicNamesMayNotLeadInside) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("*").ok());
  const Origin origin{"https", "example.com", 443};
  EXPECT_TRUE(policy.CheckOrigin(origin).ok());
  EXPECT_TRUE(policy.CheckAddress(origin, At(Address("8.8.8.8"))).ok());
  for (const char* text : {"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(policy.CheckAddress(origin, At(Address(text))).ok()) << text;
  }
}

TEST(Policy, SubdomainsAreNotTheDomain) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("https://*.example.com").ok());
  EXPECT_TRUE(policy.CheckOrigin({"https", "a.example.com", 443}).ok());
  EXPECT_TRUE(policy.CheckOrigin({"https", "a.b.example.com", 443}).ok());
  EXPECT_FALSE(policy.CheckOrigin({"https", "example.com", 443}).ok());
  EXPECT_FALSE(policy.CheckOrigin({"https", "evilexample.com", 443}).ok());
  EXPECT_FALSE(policy.CheckAddress({"https", "a.example.com", 443}, At(Address("10.0.0.1"))).ok());
}

TEST(Policy, MetadataNeedsItsLiteralAddress) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("http://metadata.internal").ok());
  const Origin name{"http", "metadata.internal", 80};
  EXPECT_FALSE(policy.CheckAddress(name, At(Address("169.254.169.254"))).ok());
  EXPECT_FALSE(policy.Allow("nonsense").ok());
}

TEST(Headers, KeepsPlainOnesAndDropsWhatTheProxySets) {
  std::vector<Header> headers;
  ASSERT_TRUE(ParseRequestHeaders("A: b\r\nHost: x\r\nContent-Length: 4\r\nX-Y:  z \r\n"
                                  "Connection: close\r\nMetadata-Flavor: Google\r\n",
                                  &headers).ok());
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[1].name + "=" + headers[1].value, "X-Y=z");
}

TEST(Headers, RefusesInjection) {
  for (const char* block : {"A\r\n", "A: b", ": x\r\n", "A b: c\r\n", "A: b\nC: d\r\n",
                            "A: b\rC: d\r\n", "A: \x01\r\n", " A: b\r\n"}) {
    std::vector<Header> headers;
    EXPECT_FALSE(ParseRequestHeaders(block, &headers).ok()) << block;
  }
}

}  // namespace
}  // namespace usetl
