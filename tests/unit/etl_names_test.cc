#include <gtest/gtest.h>

#include "vmm/proxy/etl/name_config.h"
#include "vmm/proxy/etl/name_resolver.h"

namespace usetl::etl {
namespace {

using Texts = std::vector<std::string>;

NameConfig Resolver(const std::string& text) {
  NameConfig config;
  ReadResolverConfig(text, &config);
  return config;
}

TEST(NameConfig, TakesWhatClustersWrite) {
  const NameConfig config = Resolver(
      "search default.svc.cluster.local svc.cluster.local\n"
      "nameserver 10.96.0.10\nnameserver fd00::10\noptions ndots:5 timeout:2 attempts:3 rotate\n");
  EXPECT_EQ(config.servers, (Texts{"10.96.0.10", "fd00::10"}));
  EXPECT_EQ(config.searches, (Texts{"default.svc.cluster.local", "svc.cluster.local"}));
  EXPECT_EQ(config.ndots, 5);
  EXPECT_EQ(config.timeout_ms, 2000);
  EXPECT_EQ(config.attempts, 3);
  EXPECT_TRUE(config.rotate);
  EXPECT_FALSE(config.empty());
}

TEST(NameConfig, PassesOverWhatIsWrong) {
  const NameConfig config = Resolver(
      "nameserver\nnameserver evil,1.1.1.1\nnameserver 300.1.1.1 # no\n; nameserver 9.9.9.9\n"
      "search a\nsearch b\nsearch\noptions ndots:-1 timeout:x attempts:0 ndots:99999999999\n\n x "
      "y");
  EXPECT_EQ(config.servers, Texts());
  EXPECT_EQ(config.searches, Texts{"b"});
  EXPECT_EQ(config.ndots, 1);
  EXPECT_EQ(config.timeout_ms, 5000);
  EXPECT_EQ(config.attempts, 1);
  EXPECT_TRUE(config.names_servers);  // none of which can be asked
}

TEST(NameConfig, HasLimits) {
  std::string text = "options ndots:99 timeout:0 attempts:99\nsearch";
  for (int i = 0; i < 100; ++i) text += " d" + std::to_string(i);
  for (int i = 0; i < 9; ++i) text += "\nnameserver 10.0.0." + std::to_string(i);
  const NameConfig config = Resolver(text);
  EXPECT_EQ(config.servers.size(), 3u);
  EXPECT_EQ(config.searches.size(), 32u);
  EXPECT_EQ(config.ndots, 15);
  EXPECT_EQ(config.timeout_ms, 1000);
  EXPECT_EQ(config.attempts, 5);
}

TEST(NameConfig, TakesHosts) {
  NameConfig config;
  ReadHosts(
      "# Kubernetes-managed\n127.0.0.1\tlocalhost\n::1 localhost\r\n10.1.2.3 Foo foo.bar#x\n"
      "name 10.1.1.1\n10.9.9.9\n",
      &config);
  EXPECT_EQ(config.hosts.size(), 3u);
  EXPECT_EQ(config.hosts["localhost"], (Texts{"127.0.0.1", "::1"}));
  EXPECT_EQ(config.hosts["foo"], Texts{"10.1.2.3"});
  EXPECT_EQ(config.hosts["foo.bar"], Texts{"10.1.2.3"});
}

TEST(NameResolver, AnswersFromHostsAtOnceAndLeavesTheRest) {
  NameConfig config;
  ReadHosts("10.1.2.3 foo\n", &config);
  const auto resolver = NameResolver::Create(config);
  ASSERT_TRUE(resolver.ok()) << resolver.status().message();
  EXPECT_TRUE((*resolver)->Knows("foo"));
  EXPECT_FALSE((*resolver)->Knows("bar"));
  Texts found;
  const uint64_t lookup = (*resolver)->Lookup(
      "foo", [&](const NameResolver::Addresses& addresses) { found = *addresses; });
  EXPECT_EQ(lookup, 0u);
  EXPECT_EQ(found, Texts{"10.1.2.3"});
  for (const char* name : {"foo.", "localhost."}) {
    found.clear();
    (*resolver)->Lookup(name, [&](const auto& addresses) { found = *addresses; });
    EXPECT_FALSE(found.empty()) << name;
  }
}

TEST(NameResolver, KnowsAllNamesOfAPodWithServers) {
  const auto resolver = NameResolver::Create(Resolver("nameserver 192.0.2.1\n"));
  ASSERT_TRUE(resolver.ok()) << resolver.status().message();
  EXPECT_TRUE((*resolver)->Knows("bar"));
  EXPECT_FALSE((*resolver)->Knows("192.0.2.7"));
  EXPECT_FALSE((*resolver)->Knows("2001:db8::1"));
}

}  // namespace
}  // namespace usetl::etl
