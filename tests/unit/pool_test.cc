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

}  // namespace
}  // namespace usetl
