#include <gtest/gtest.h>

#include "vmm/abi/file_table.h"

namespace usetl::abi {
namespace {

constexpr uint64_t kBase = 0x2'0000;
constexpr uint64_t kRegion = 0x100'0000;

FileEntry Good() {
  FileEntry entry{};
  entry.type = FileType::kRegular;
  entry.size = 100;
  entry.offset = kBase + kPageSize;
  entry.capacity = kPageSize;
  entry.name_offset = kBase;
  entry.name_size = 5;
  return entry;
}

TEST(FileTable, AcceptsWhatLiesInside) {
  EXPECT_TRUE(CheckEntry(Good(), kBase, kRegion));
  FileEntry empty = Good();
  empty.size = empty.capacity = 0;
  EXPECT_TRUE(CheckEntry(empty, kBase, kRegion));
}

TEST(FileTable, RefusesEveryFieldOutOfBounds) {
  const auto refused = [](auto change) {
    FileEntry entry = Good();
    change(entry);
    return !CheckEntry(entry, kBase, kRegion);
  };
  EXPECT_TRUE(refused([](FileEntry& e) { e.type = FileType::kNone; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.type = static_cast<FileType>(9); }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.offset = 0; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.offset += 1; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.offset = ~uint64_t{0xfff}; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.capacity = ~uint64_t{0xfff}; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.size = e.capacity + 1; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.name_size = kMaxName + 1; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.name_offset = kRegion - 2; }));
  EXPECT_TRUE(refused([](FileEntry& e) { e.name_offset = ~uint64_t{0}; }));
  EXPECT_FALSE(CheckEntry(Good(), kRegion + 1, kRegion));
}

}  // namespace
}  // namespace usetl::abi
