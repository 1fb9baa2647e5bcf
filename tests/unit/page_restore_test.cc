#include "vmm/snapshot/page_restore.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace usetl {
namespace {

struct alignas(64) Page {
  std::array<uint8_t, abi::kPageSize> bytes{};
};

TEST(PageRestore, EqualPagesHaveNoDifferentLine) {
  Page a, b;
  a.bytes.fill(0x5a);
  b.bytes.fill(0x5a);
  EXPECT_EQ(DifferentLines(a.bytes.data(), b.bytes.data()), 0u);
}

TEST(PageRestore, EveryByteCounts) {
  Page clean;
  std::mt19937 random(7);
  std::generate(clean.bytes.begin(), clean.bytes.end(), [&] { return uint8_t(random()); });
  Page page = clean;
  for (size_t i = 0; i < page.bytes.size(); ++i) {
    page.bytes[i] ^= 0x80;
    ASSERT_EQ(DifferentLines(page.bytes.data(), clean.bytes.data()), 1ull << (i / 64)) << i;
    if (kWideLines) {
      ASSERT_EQ(DifferentWideLines(page.bytes.data(), clean.bytes.data()), 1ull << (i / 64)) << i;
    }
    RestorePageLines(page.bytes.data(), clean.bytes.data());
    ASSERT_EQ(page.bytes, clean.bytes) << i;
  }
}

TEST(PageRestore, AWholePageComesBack) {
  Page clean, page;
  page.bytes.fill(0xff);
  RestorePageLines(page.bytes.data(), clean.bytes.data());
  EXPECT_EQ(page.bytes, clean.bytes);
}

}  // namespace
}  // namespace usetl
