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
  EXPECT_GT(tables.used(), used);  // table pages are never used twice
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
