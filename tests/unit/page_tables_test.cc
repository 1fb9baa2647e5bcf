#include "vmm/usf/page_tables.h"

#include <gtest/gtest.h>

#include "vmm/platform/x86.h"

namespace usetl {
namespace {

constexpr uint64_t kPage = abi::kPageSize;
constexpr uint64_t kRead = x86::kUser | x86::kNoExecute;
constexpr uint64_t kReadWrite = kRead | x86::kWritable;
constexpr uint64_t kVa = abi::kMapped.base;

struct PageTablesTest : testing::Test {
  std::vector<uint8_t> arena = std::vector<uint8_t>(abi::kTableArena.size);
  PageTables tables{arena.data(), 0, 0};
  void SetUp() override {
    ASSERT_TRUE(tables.Start().ok());
    tables.BeginBatch();
    tables.EndBatch();
  }
  uint64_t PageAt(uint64_t va) const { return tables.Lookup(va) & x86::kAddressMask; }
};

TEST_F(PageTablesTest, FillingAnEmptyEntryKeepsTheRoot) {
  const uint64_t root = tables.root();
  tables.BeginBatch();
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, 3 * kPage, kRead, false).ok());
  EXPECT_FALSE(tables.EndBatch());
  EXPECT_EQ(tables.root(), root);
  EXPECT_EQ(PageAt(kVa + 2 * kPage), 0x1000'2000u);
  EXPECT_EQ(tables.Lookup(kVa + 3 * kPage), 0u);
  constexpr uint64_t kPreset = x86::kAccessed | x86::kDirty;
  EXPECT_EQ(tables.Lookup(kVa) & kPreset, kPreset);
}

TEST_F(PageTablesTest, WideningIsInPlaceAndNarrowingCopiesThePath) {
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, 2 * kPage, kRead, false).ok());
  tables.BeginBatch();
  ASSERT_TRUE(tables.Protect(kVa, kPage, kReadWrite).ok());
  EXPECT_FALSE(tables.EndBatch());
  const uint64_t old_root = tables.root();
  const std::vector<uint8_t> before = arena;
  const uint64_t used = tables.used();
  tables.BeginBatch();
  ASSERT_TRUE(tables.Protect(kVa, kPage, kRead).ok());
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_NE(tables.root(), old_root);
  EXPECT_EQ(tables.used(), used + 4 * kPage);  // PML4, PDPT, PD, PT
  // Nothing that was in use before has changed: the old root still leads to the old protections.
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + static_cast<long>(used), arena.begin()));
}

TEST_F(PageTablesTest, OneBatchSharesTheCopiedPath) {
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, 100 * kPage, kReadWrite, false).ok());
  const uint64_t used = tables.used();
  tables.BeginBatch();
  ASSERT_TRUE(tables.Protect(kVa, 50 * kPage, kRead).ok());
  std::vector<uint64_t> freed;
  ASSERT_TRUE(tables.Unmap(kVa + 50 * kPage, 50 * kPage, &freed).ok());
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_EQ(tables.used(), used + 4 * kPage);
  EXPECT_EQ(freed.size(), 50u);
  EXPECT_EQ(tables.Lookup(kVa + 50 * kPage), 0u);
}

TEST_F(PageTablesTest, ResetBringsTheOldRootBackAndFreezesIt) {
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, kPage, kReadWrite, false).ok());
  const uint64_t root = tables.root();
  tables.Reset(root);
  const std::vector<uint8_t> before = arena;
  const uint64_t used = tables.used();
  tables.BeginBatch();
  // Even filling an empty entry copies now: it must not survive the next reset.
  ASSERT_TRUE(tables.Map(kVa + kPage, 0x2000'0000, kPage, kReadWrite, false).ok());
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + static_cast<long>(used), arena.begin()));
  tables.Reset(root);
  EXPECT_EQ(tables.Lookup(kVa + kPage), 0u);
  EXPECT_GT(tables.used(), used);  // table pages are not used twice as long as KVM remembers them
}

TEST_F(PageTablesTest, HugeEntriesSplitWhenAPartNarrows) {
  ASSERT_TRUE(tables.Map(kVa, 0x4000'0000, abi::kHugePageSize, kReadWrite, true).ok());
  EXPECT_TRUE(tables.Lookup(kVa) & x86::kHuge);
  tables.BeginBatch();
  ASSERT_TRUE(tables.Protect(kVa + 5 * kPage, kPage, kRead).ok());
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_EQ(PageAt(kVa + 5 * kPage), 0x4000'5000u);
  EXPECT_FALSE(tables.Lookup(kVa + 5 * kPage) & x86::kWritable);
  EXPECT_TRUE(tables.Lookup(kVa + 6 * kPage) & x86::kWritable);
}

TEST_F(PageTablesTest, RecyclingGathersWhatIsInUseBehindTheSnapshots) {
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, 2 * kPage, kReadWrite, false).ok());
  const uint64_t root = tables.root(), kept = tables.used();
  tables.Reset(root);
  const std::vector<uint8_t> before(arena.begin(), arena.begin() + static_cast<long>(kept));
  const uint64_t far = kVa + (uint64_t{1} << 31);
  for (int i = 0; i < 20; ++i) {
    tables.BeginBatch();
    ASSERT_TRUE(tables.Map(far, 0x2000'0000, kPage, kReadWrite, false).ok());
    ASSERT_TRUE(tables.Map(far + abi::kHugePageSize, 0x4000'0000, kPage, kRead, false).ok());
    ASSERT_TRUE(tables.Map(kVa + 2 * kPage, 0x3000'0000, kPage, kRead, false).ok());
    tables.EndBatch();
    tables.BeginBatch();
    std::vector<uint64_t> freed;
    ASSERT_TRUE(tables.Unmap(far, kPage, &freed).ok());
    ASSERT_TRUE(tables.Unmap(kVa + 2 * kPage, kPage, &freed).ok());
    if (i != 19) {
      ASSERT_TRUE(tables.Unmap(far + abi::kHugePageSize, kPage, &freed).ok());
    }
    tables.EndBatch();
  }
  tables.BeginBatch();
  tables.Recycle(kept);
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_EQ(PageAt(kVa + kPage), 0x1000'1000u);
  EXPECT_EQ(tables.Lookup(kVa + 2 * kPage), 0u);
  EXPECT_EQ(tables.Lookup(far), 0u);
  EXPECT_EQ(PageAt(far + abi::kHugePageSize), 0x4000'0000u);
  // PML4, PDPT, both PDs and PTs: without the PT in which nothing is left.
  EXPECT_EQ(tables.used(), kept + 6 * kPage);
  EXPECT_TRUE(PageTables::AreSound(arena.data(), tables.root(), tables.used()));
  EXPECT_TRUE(std::all_of(arena.begin() + static_cast<long>(tables.used()), arena.end(),
                          [](uint8_t byte) { return byte == 0; }));
  EXPECT_TRUE(std::equal(before.begin(), before.end(), arena.begin()));
  // The snapshot's stay frozen.
  tables.BeginBatch();
  ASSERT_TRUE(tables.Map(kVa + 3 * kPage, 0x5000'0000, kPage, kRead, false).ok());
  tables.EndBatch();
  tables.Reset(root);
  EXPECT_EQ(tables.Lookup(kVa + 3 * kPage), 0u);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), arena.begin()));
}

TEST_F(PageTablesTest, UnmappingWholeTablesCopiesNone) {
  const uint64_t size = 8 * abi::kHugePageSize;
  ASSERT_TRUE(tables.Map(kVa, 0x1000'0000, size, kReadWrite, false).ok());
  const uint64_t used = tables.used();
  std::vector<uint64_t> freed;
  tables.BeginBatch();
  ASSERT_TRUE(tables.Unmap(kVa + kPage, size - kPage, &freed).ok());
  EXPECT_TRUE(tables.EndBatch());
  EXPECT_EQ(freed.size(), size / kPage - 1);
  EXPECT_EQ(tables.used(), used + 4 * kPage);  // PML4, PDPT, PD and the first PT
  EXPECT_EQ(PageAt(kVa), 0x1000'0000u);
  for (uint64_t va = kVa + kPage; va < kVa + size; va += kPage) ASSERT_EQ(tables.Lookup(va), 0u);
}

TEST_F(PageTablesTest, AFullArenaIsAnError) {
  Status status;
  uint64_t va = kVa;
  while (status.ok()) {
    status = tables.Map(va, 0x1000'0000, kPage, kRead, false);
    va += abi::kHugePageSize;
  }
  EXPECT_EQ(status.code(), ENOMEM);
}

}  // namespace
}  // namespace usetl
