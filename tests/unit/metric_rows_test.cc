// The table of cAdvisor's names, and interfaces.
#include "cri/server/metric_rows.h"

#include <gtest/gtest.h>

#include <set>

#include "cri/network/interfaces.h"

namespace usetl::cri {
namespace {

TEST(MetricDescriptors, AreSortedAndComplete) {
  std::string last;
  for (const v1::MetricDescriptor& descriptor : MetricDescriptors()) {
    EXPECT_LT(last, descriptor.name());
    last = descriptor.name();
    EXPECT_TRUE(last.starts_with("container_"));
    EXPECT_FALSE(descriptor.help().empty()) << last;
    const std::set<std::string> keys(descriptor.label_keys().begin(),
                                     descriptor.label_keys().end());
    EXPECT_EQ(keys.size(), static_cast<size_t>(descriptor.label_keys_size())) << last;
    EXPECT_TRUE(keys.contains("id") && keys.contains("pod")) << last;
  }
}

constexpr char kHead[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n";
constexpr char kLoopback[] =
    "    lo:     100       2    0    0    0     0          0         0 "
    "     100       2    0    0    0     0       0          0\n";
constexpr char kEthernet[] = "  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";

TEST(Interfaces, LoopbackCountsWhereThereIsNothingElse) {
  const Interfaces both = ParseInterfaces(std::string(kHead) + kLoopback + kEthernet);
  ASSERT_EQ(both.size(), 1u);
  EXPECT_EQ(both[0].name, "eth0");
  EXPECT_EQ(both[0].rx_bytes, 1u);
  EXPECT_EQ(both[0].rx_packets, 2u);
  EXPECT_EQ(both[0].rx_errors, 3u);
  EXPECT_EQ(both[0].rx_dropped, 4u);
  EXPECT_EQ(both[0].tx_bytes, 9u);
  EXPECT_EQ(both[0].tx_packets, 10u);
  EXPECT_EQ(both[0].tx_errors, 11u);
  EXPECT_EQ(both[0].tx_dropped, 12u);
  const Interfaces alone = ParseInterfaces(std::string(kHead) + kLoopback);
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_EQ(alone[0].name, "lo");
  EXPECT_EQ(alone[0].tx_bytes, 100u);
}

TEST(Interfaces, MalformedLinesAreLeftOut) {
  for (const char* text : {"", "\n", ":", " : 1 2 3", "eth0", "eth0:", "eth0: 1 2 3 4",
                           "eth0: 1 2 3 x 5 6 7 8 9 10 11 12 13",
                           "eth0: 99999999999999999999 2 3 4 5 6 7 8 9 10 11 12"}) {
    EXPECT_TRUE(ParseInterfaces(text).empty()) << text;
  }
}

TEST(Interfaces, NamespacesThatAreGoneSayNothing) {
  const auto read = ReadInterfaces({"", "/nonexistent", "/proc/self/ns/net"});
  ASSERT_EQ(read.size(), 3u);
  EXPECT_TRUE(read[0].empty());
  EXPECT_TRUE(read[1].empty());
  EXPECT_FALSE(read[2].empty());
}

}  // namespace
}  // namespace usetl::cri
