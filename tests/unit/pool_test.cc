#include "vmm/pool/pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace usetl {
namespace {

TEST(RollbackTimes, BucketsHoldTheirUpperEnd) {
  RollbackTimes times;
  for (const uint64_t bound : RollbackTimes::kBounds) times.Add(bound);
  for (size_t i = 0; i < RollbackTimes::kBounds.size(); ++i) EXPECT_EQ(times.counts[i], 1u) << i;
  EXPECT_EQ(times.counts.back(), 0u);
  times.Add(0);
  EXPECT_EQ(times.counts.front(), 2u);
  times.Add(RollbackTimes::kBounds.back() + 1);
  EXPECT_EQ(times.counts.back(), 1u);
  EXPECT_EQ(times.sum_ns, std::accumulate(RollbackTimes::kBounds.begin(),
                                          RollbackTimes::kBounds.end(), uint64_t{0}) +
                              RollbackTimes::kBounds.back() + 1);
}

TEST(PoolCounters, AddMissingTakesWholePairsOfKnownNumbers) {
  const usf::MissingCalls said[] = {{237, 3}, {abi::kSyscallCount, 1}, {~0u, ~0u}, {237, ~0u}};
  const std::string text(reinterpret_cast<const char*>(said), sizeof said);
  PoolCounters counters;
  counters.AddMissing(text + "rest");
  counters.AddMissing(text.substr(0, 7));
  EXPECT_EQ(counters.missing, (std::map<uint32_t, uint64_t>{{237, 3 + uint64_t{~0u}}}));
}

}  // namespace
}  // namespace usetl
