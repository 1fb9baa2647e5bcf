#include "vmm/pool/pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <numeric>

#include "tests/unit/snapshot_bytes.h"
#include "tests/unit/temporary_directory.h"

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

// USFs are processes that hear everything and say nothing: the test speaks for them.
struct PoolTest : testing::Test {
  PoolTest() {
    signal(SIGUSR1, SIG_IGN);  // inherited: a rollback is announced by it
    usf.program = directory.path() / "usf";
    std::ofstream(usf.program) << "#!/bin/sh\nexec cat <&3 >/dev/null\n";
    std::filesystem::permissions(usf.program, std::filesystem::perms::owner_all);
    usf.kvm_fd = usf.empty_root_fd = usf.network_fd = null.get();
    usf.huge_pages = usf.jail = false;
    options.size = 1;
  }
  void Open() {
    Result<Snapshot> snapshot = test::AdoptBytes(test::SnapshotBytes());
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().message();
    pool.emplace(usf, options, Runtime{"test", {}, std::move(*snapshot)}, &counters, reaper->get());
    pool->watch = pool->unwatch = [](int) {};
    pool->on_idle = [] {};
  }
  void Say(UsfHandle* who, usf::Event what, bool usable = true) {
    usf::EventRecord event{};
    event.event = what;
    event.usable = usable;
    pool->OnEvent(who, &event);
  }
  void Refill() {
    ASSERT_TRUE(pool->Refill(++made).ok());
    Say(pool->FindBySocket(pool->usfs().back().socket()), usf::Event::kReady);
  }
  // A USF of the tenant, made when none is ready.
  UsfHandle* Claim(const std::string& tenant) {
    UsfHandle* claimed = pool->Claim(tenant);
    if (claimed != nullptr) return claimed;
    Refill();
    return pool->Claim(tenant);
  }
  // Whether it is idle again.
  bool GiveBack(UsfHandle* who, bool usable = true) {
    if (!pool->Release(who)) return false;
    Say(who, usf::Event::kRolledBack, usable);
    return usable;
  }

  test::TemporaryDirectory directory;
  Fd null{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  UsfOptions usf;
  PoolOptions options;
  PoolCounters counters;
  Result<std::unique_ptr<Reaper>> reaper = Reaper::Create();
  std::optional<Pool> pool;
  uint32_t made = 0;
};

TEST_F(PoolTest, AUsedOneGoesToItsTenantOnly) {
  Open();
  UsfHandle* used = Claim("a");
  ASSERT_TRUE(GiveBack(used));
  EXPECT_EQ(pool->Claim("b"), nullptr);
  EXPECT_EQ(pool->ClaimForClone("b"), nullptr);
  EXPECT_EQ(pool->Claim(""), nullptr);
  EXPECT_EQ(pool->Claim("aa"), nullptr);
  EXPECT_EQ(pool->Claim("a"), used);
  EXPECT_EQ(used->uses, 2u);
}

TEST_F(PoolTest, TheTenantsOwnComesBeforeAFreshOne) {
  Open();
  UsfHandle* own = Claim("a");
  UsfHandle* other = Claim("b");
  ASSERT_TRUE(GiveBack(other));
  ASSERT_TRUE(GiveBack(own));
  ASSERT_TRUE(pool->wants_refill());  // used ones do not count
  Refill();
  EXPECT_FALSE(pool->wants_refill());
  EXPECT_EQ(pool->Claim("b"), other);
  EXPECT_EQ(pool->Claim("a"), own);
}

TEST_F(PoolTest, OneIsNotUsedMoreThanItsTimes) {
  options.max_uses = 3;
  Open();
  for (uint32_t use = 1; use <= options.max_uses; ++use) {
    UsfHandle* one = Claim("a");
    EXPECT_EQ(one->uses, use);
    EXPECT_EQ(GiveBack(one), use < options.max_uses);
  }
  EXPECT_EQ(counters.retired, 1u);
  EXPECT_TRUE(pool->usfs().empty());
  EXPECT_EQ(pool->Claim("a"), nullptr);
}

TEST_F(PoolTest, ATenantKeepsAFew) {
  options.keep_per_tenant = 2;
  Open();
  std::vector<UsfHandle*> of_a = {Claim("a"), Claim("a"), Claim("a")};
  UsfHandle* of_b = Claim("b");
  EXPECT_TRUE(GiveBack(of_a[0]));
  EXPECT_TRUE(GiveBack(of_a[1]));
  EXPECT_FALSE(GiveBack(of_a[2]));
  EXPECT_TRUE(GiveBack(of_b));  // each tenant for itself
  EXPECT_EQ(counters.retired, 1u);
  EXPECT_EQ(pool->Count(UsfState::kIdle), 3u);
}

TEST_F(PoolTest, AWornOneServesNobody) {
  Open();
  EXPECT_FALSE(GiveBack(Claim("a"), /*usable=*/false));
  EXPECT_EQ(counters.retired, 1u);
  EXPECT_EQ(counters.rolled_back, 1u);
  UsfHandle* ended = Claim("a");
  Say(ended, usf::Event::kEnded, /*usable=*/false);  // a crash: no rollback is tried
  EXPECT_FALSE(pool->Release(ended));
  EXPECT_EQ(counters.retired, 2u);
  EXPECT_TRUE(pool->usfs().empty());
}

}  // namespace
}  // namespace usetl
