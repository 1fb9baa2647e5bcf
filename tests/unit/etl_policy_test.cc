#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

#include "vmm/proxy/etl/address_ranges.h"
#include "vmm/proxy/etl/policy.h"

namespace usetl::etl {
namespace {

sockaddr_storage Address(const std::string& text) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
  } else {
    ADD_FAILURE() << text;
  }
  return storage;
}

const sockaddr* Raw(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr*>(&storage);
}

struct GoodUrl {
  const char* text;
  const char* origin;
};

TEST(Url, AcceptsPlainOnes) {
  const GoodUrl kUrls[] = {
      {"http://example.com", "http://example.com:80"},
      {"https://example.com/", "https://example.com:443"},
      {"HTTP://EXAMPLE.com/A?b=c#d", "http://example.com:80"},
      {"http://example.com./x", "http://example.com:80"},
      {"http://example.com:8080/x", "http://example.com:8080"},
      {"http://example.com:/x", "http://example.com:80"},
      {"https://a_b.example.com?q", "https://a_b.example.com:443"},
      {"http://127.0.0.1:80/", "http://127.0.0.1:80"},
      {"http://[::1]:8080/", "http://[::1]:8080"},
      {"http://[0:0:0:0:0:0:0:1]/", "http://[::1]:80"},
      {"http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]:80"},
      {"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example:80"},
      {"http://example.com/%00%0d%0a", "http://example.com:80"},
      {"http://example.com/a@b:c", "http://example.com:80"},
      {"http://0a.example/", "http://0a.example:80"},
  };
  for (const GoodUrl& url : kUrls) {
    const auto parsed = Url::Parse(url.text);
    ASSERT_TRUE(parsed.ok()) << url.text << ": " << parsed.status().message();
    EXPECT_EQ(parsed->origin().Text(), url.origin) << url.text;
  }
}

TEST(Url, RefusesOddOnes) {
  const char* kUrls[] = {
      "",
      "example.com",
      "//example.com/",
      "/x",
      "http:",
      "http:/example.com",
      "http:example.com",
      "http://",
      "http:///x",
      "https://:443/",
      "http://./",
      "http://../",
      "http://a..b/",
      "http://.example.com/",
      "ftp://example.com/",
      "file:///etc/passwd",
      "gopher://example.com/",
      "dict://example.com:11211/",
      "javascript://example.com/",
      "http+unix://x/",
      // users
      "http://user@example.com/",
      "http://user:pw@example.com/",
      "http://@example.com/",
      "http://example.com@127.0.0.1/",
      "http://example.com:80@127.0.0.1/",
      // odd spellings of 127.0.0.1, 169.254.169.254 and others
      "http://2130706433/",
      "http://2852039166/",
      "http://0x7f000001/",
      "http://0x7f.0.0.1/",
      "http://0x7f.1/",
      "http://127.1/",
      "http://127.0.1/",
      "http://0177.0.0.1/",
      "http://017700000001/",
      "http://127.0.0.01/",
      "http://00127.0.0.1/",
      "http://0xa9fea9fe/",
      "http://169.254.43518/",
      "http://127.0.0.1.5/",
      "http://256.0.0.1/",
      "http://1/",
      "http://0/",
      "http://0x/",
      "http://127.0.0.0x1/",
      "http://example.1/",
      // IPv6
      "http://[::1/",
      "http://::1/",
      "http://[]/",
      "http://[::1%25eth0]/",
      "http://[fe80::1%eth0]/",
      "http://[v1.x]/",
      "http://[::1]x/",
      "http://[127.0.0.1]/",
      "http://[::1]:x/",
      // ports
      "http://example.com:0/",
      "http://example.com:65536/",
      "http://example.com:99999999999/",
      "http://example.com:-1/",
      "http://example.com:+80/",
      "http://example.com:8x/",
      "http://example.com:80:80/",
      // characters
      "http://exa mple.com/",
      "http://example.com/a b",
      " http://example.com/",
      "http://example.com/ ",
      "http://example.com\\@127.0.0.1/",
      "http://example.com/\\x",
      "http://example.com/\r\nHost: x",
      "http://example.com/\n",
      "http://example.com/\t",
      "http://example.com/\x7f",
      "http://ex%61mple.com/",
      "http://127.0.0.1%00.example.com/",
      "http://%31%32%37.0.0.1/",
      "http://b\xc3\xbc"
      "cher.example/",
      "http://example.com/\xc3\xbc",
      "http://\xe2\x91\xa0.example/",
      "http://exam<ple/",
      "http://exa\"mple/",
      "http://a,b/",
  };
  for (const char* url : kUrls) EXPECT_FALSE(Url::Parse(url).ok()) << url;
  EXPECT_FALSE(Url::Parse("http://example.com/" + std::string(kMaxUrl, 'a')).ok());
  EXPECT_FALSE(Url::Parse("http://" + std::string(254, 'a') + "/").ok());
  EXPECT_FALSE(Url::Parse(std::string_view("http://example.com/\0x", 21)).ok());
}

TEST(Url, KnowsNamesThatAreComplete) {
  for (const char* text : {"http://example.com./x", "http://example.com.", "http://web.:8080/"}) {
    const auto url = Url::Parse(text);
    ASSERT_TRUE(url.ok()) << text;
    EXPECT_TRUE(url->absolute()) << text;
    EXPECT_FALSE(url->origin().host.ends_with('.')) << text;
    EXPECT_TRUE(url->Resolve("/d")->absolute()) << text;
    EXPECT_FALSE(url->Resolve("http://other/")->absolute()) << text;
  }
  for (const char* text : {"http://example.com/x.", "http://example.com", "http://127.0.0.1/"}) {
    const auto url = Url::Parse(text);
    ASSERT_TRUE(url.ok()) << text;
    EXPECT_FALSE(url->absolute()) << text;
  }
  EXPECT_FALSE(Url::Parse("http://example.com../").ok());
}

TEST(Url, ResolvesRedirects) {
  const auto base = Url::Parse("https://example.com/a/b?c");
  ASSERT_TRUE(base.ok());
  EXPECT_EQ(base->Resolve("d")->LogText(), "https://example.com:443/a/d");
  EXPECT_EQ(base->Resolve("/d?x=http://y")->LogText(), "https://example.com:443/d");
  EXPECT_EQ(base->Resolve("../../d")->LogText(), "https://example.com:443/d");
  EXPECT_EQ(base->Resolve("//other/d")->LogText(), "https://other:443/d");
  EXPECT_EQ(base->Resolve("http://other:81/")->LogText(), "http://other:81/");
  for (const char* bad : {"http://127.1/", "//0x7f.1/", "file:///etc/passwd", "http://u@x/", "a b",
                          "http:/127.1/", "https:127.1", "\\\\x\\y"}) {
    EXPECT_FALSE(base->Resolve(bad).ok()) << bad;
  }
}

TEST(Addresses, InternalOnes) {
  const char* kInternal[] = {"0.0.0.0",
                             "0.1.2.3",
                             "10.0.0.1",
                             "10.255.255.255",
                             "100.64.0.1",
                             "100.127.255.255",
                             "127.0.0.1",
                             "127.255.255.254",
                             "169.254.0.1",
                             "169.254.169.254",
                             "172.16.0.1",
                             "172.31.255.255",
                             "192.0.0.1",
                             "192.0.0.192",
                             "192.0.2.1",
                             "192.88.99.1",
                             "192.168.0.1",
                             "198.18.0.1",
                             "198.19.255.255",
                             "198.51.100.1",
                             "203.0.113.1",
                             "224.0.0.1",
                             "239.255.255.255",
                             "240.0.0.1",
                             "255.255.255.255",
                             "::",
                             "::1",
                             "::7f00:1",
                             "::8.8.8.8",
                             "::ffff:127.0.0.1",
                             "::ffff:8.8.8.8",
                             "::ffff:0:127.0.0.1",
                             "64:ff9b::8.8.8.8",
                             "64:ff9b::a9fe:a9fe",
                             "64:ff9b:1::1",
                             "100::1",
                             "2001::1",
                             "2001:0:4136:e378::1",
                             "2001:10::1",
                             "2001:db8::1",
                             "2002:7f00:1::",
                             "2002:808:808::",
                             "3fff::1",
                             "5f00::1",
                             "fc00::1",
                             "fd00:ec2::254",
                             "fe80::1",
                             "fec0::1",
                             "ff02::1",
                             "4000::1",
                             "2600::5efe:7f00:1",
                             "2600::200:5efe:8.8.8.8"};
  for (const char* text : kInternal) EXPECT_TRUE(IsInternalAddress(Raw(Address(text)))) << text;
  const char* kPublic[] = {"1.1.1.1",         "8.8.8.8",         "9.255.255.255",  "11.0.0.1",
                           "100.63.255.255",  "100.128.0.1",     "128.0.0.1",      "172.15.255.255",
                           "172.32.0.1",      "192.0.1.1",       "198.17.255.255", "198.20.0.1",
                           "223.255.255.255", "2606:4700::1111", "2a00:1450::1",   "2001:200::1",
                           "2003::1"};
  for (const char* text : kPublic) EXPECT_FALSE(IsInternalAddress(Raw(Address(text)))) << text;
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_TRUE(IsInternalAddress(&other));
}

TEST(Addresses, MetadataServices) {
  for (const char* text :
       {"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16",
        "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::169.254.169.254",
        "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::ffff:0:169.254.169.254",
        "2600::5efe:169.254.169.254"}) {
    EXPECT_TRUE(IsMetadataAddress(Raw(Address(text)))) << text;
  }
  for (const char* text : {"127.0.0.1", "10.0.0.1", "8.8.8.8", "::1", "fd00::1", "2606:4700::1"}) {
    EXPECT_FALSE(IsMetadataAddress(Raw(Address(text)))) << text;
  }
}

TEST(Addresses, OfThisNode) {
  EXPECT_FALSE(IsNodeAddress(Raw(Address("192.0.2.77"))));
  EXPECT_FALSE(IsNodeAddress(Raw(Address("2001:db8::77"))));
}

// What a policy says to a URL whose host leads to an address.
Status Verdict(const Policy& policy, const std::string& url, const std::string& address) {
  const auto parsed = Url::Parse(url);
  if (!parsed.ok()) return parsed.status();
  const Status origin = policy.CheckOrigin(parsed->origin());
  return origin.ok() ? policy.CheckAddress(parsed->origin(), Raw(Address(address))) : origin;
}

TEST(Policy, DeniesByDefault) {
  const Policy policy;
  EXPECT_EQ(Verdict(policy, "https://example.com/", "93.184.216.34").code(), EPERM);
  EXPECT_EQ(Verdict(policy, "http://127.0.0.1/", "127.0.0.1").code(), EPERM);
}

TEST(Policy, RefusesBadRules) {
  Policy policy;
  for (const char* rule :
       {"", "example.com", "ftp://x", "http://", "http://x/path", "http://x?y", "http://u@x",
        "http://*", "http://127.1", "https://*.", "**", "http://a*b.c", "http://x#y"}) {
    EXPECT_FALSE(policy.Allow(rule).ok()) << rule;
  }
  EXPECT_TRUE(policy.Allow("http://x/").ok());
}

TEST(Policy, ExactOriginOpensWhatItLeadsTo) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("http://127.0.0.1:8080").ok());
  ASSERT_TRUE(policy.Allow("https://Store.Example.").ok());
  EXPECT_TRUE(Verdict(policy, "http://127.0.0.1:8080/x", "127.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://127.0.0.1/x", "127.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "https://127.0.0.1:8080/x", "127.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://127.0.0.2:8080/x", "127.0.0.2").ok());
  EXPECT_FALSE(Verdict(policy, "http://localhost:8080/x", "127.0.0.1").ok());
  EXPECT_TRUE(Verdict(policy, "https://store.example/x", "10.1.2.3").ok());
  EXPECT_TRUE(Verdict(policy, "https://store.example.:443/x", "fd00::1").ok());
  EXPECT_FALSE(Verdict(policy, "http://store.example/x", "10.1.2.3").ok());
  EXPECT_FALSE(Verdict(policy, "https://a.store.example/x", "10.1.2.3").ok());
  // Not even so: a name that leads to a metadata service.
  EXPECT_FALSE(Verdict(policy, "https://store.example/x", "169.254.169.254").ok());
  EXPECT_FALSE(Verdict(policy, "https://store.example/x", "::ffff:169.254.169.254").ok());
  EXPECT_FALSE(Verdict(policy, "https://store.example/x", "fd00:ec2::254").ok());
}

TEST(Policy, WildcardsReachPublicAddressesOnly) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("https://*.example.com").ok());
  EXPECT_TRUE(Verdict(policy, "https://a.example.com/", "8.8.8.8").ok());
  EXPECT_TRUE(Verdict(policy, "https://a.b.example.com/", "2606:4700::1").ok());
  EXPECT_FALSE(Verdict(policy, "https://example.com/", "8.8.8.8").ok());
  EXPECT_FALSE(Verdict(policy, "https://badexample.com/", "8.8.8.8").ok());
  EXPECT_FALSE(Verdict(policy, "https://a.example.com:8443/", "8.8.8.8").ok());
  EXPECT_FALSE(Verdict(policy, "https://a.example.com/", "10.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "https://a.example.com/", "::ffff:8.8.8.8").ok());
}

TEST(Policy, StarMeansEveryPublicOrigin) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("*").ok());
  EXPECT_TRUE(Verdict(policy, "http://anything.example:8080/", "1.1.1.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://anything.example/", "127.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://127.0.0.1/", "127.0.0.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://169.254.169.254/", "169.254.169.254").ok());
  EXPECT_FALSE(Verdict(policy, "http://metadata.google.internal/", "1.1.1.1").ok());
  EXPECT_FALSE(Verdict(policy, "http://metadata/", "1.1.1.1").ok());
}

TEST(Policy, MetadataOnlyByItsAddress) {
  Policy policy;
  ASSERT_TRUE(policy.Allow("http://169.254.169.254").ok());
  EXPECT_TRUE(Verdict(policy, "http://169.254.169.254/", "169.254.169.254").ok());
  EXPECT_FALSE(Verdict(policy, "http://[::ffff:169.254.169.254]/", "169.254.169.254").ok());
}

TEST(Policy, NetworkOpensWhatProgramsAreReachedAt) {
  Policy policy;
  policy.AllowNetwork();
  const Origin origin{"http", "anything.example", 80};
  EXPECT_TRUE(policy.CheckOrigin(origin).ok());
  for (const char* text : {"10.0.0.1", "100.64.0.1", "127.0.0.1", "172.31.255.1", "192.168.1.1",
                           "93.184.216.34", "::1", "fd12::1", "fc00::1", "2606:2800::1"}) {
    EXPECT_TRUE(policy.CheckAddress(origin, Raw(Address(text))).ok()) << text;
  }
  for (const char* text :
       {"0.0.0.0", "169.254.1.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "198.18.0.1", "fe80::1", "ff02::1",
        "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "fd00:ec2::254", "fd12::5efe:7f00:1"}) {
    EXPECT_FALSE(policy.CheckAddress(origin, Raw(Address(text))).ok()) << text;
  }
  EXPECT_FALSE(policy.CheckOrigin({"http", "metadata.google.internal", 80}).ok());
}

}  // namespace
}  // namespace usetl::etl
