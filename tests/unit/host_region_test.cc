#include "vmm/proxy/region/host_region.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace usetl {
namespace {

constexpr uint64_t kSize = 4 << 20;

struct HostRegionTest : testing::Test {
  std::vector<uint8_t> memory = std::vector<uint8_t>(kSize);
  HostRegion region{memory.data(), kSize, false};
  void SetUp() override { region.Format(); }

  static std::span<const uint8_t> Bytes(const std::string& s) {
    return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
  }
  abi::FileEntry Entry(uint32_t number) const {
    abi::FileEntry entry;
    std::memcpy(&entry, memory.data() + sizeof(abi::FileTable) + number * sizeof entry, sizeof entry);
    return entry;
  }
};

TEST_F(HostRegionTest, FilesPassTheGuestsCheck) {
  ASSERT_TRUE(region.AddFile("/function/a.py", Bytes("print(1)"), 0644).ok());
  ASSERT_TRUE(region.AddFile("/empty", {}, 0600).ok());
  for (uint32_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(abi::CheckEntry(Entry(i), abi::TableBytes(abi::kHostEntries), kSize)) << i;
    EXPECT_EQ(Entry(i).sequence % 2, 0u);
  }
  EXPECT_EQ(std::memcmp(memory.data() + Entry(0).name_offset, "function/a.py", 13), 0);
  EXPECT_EQ(std::memcmp(memory.data() + Entry(0).offset, "print(1)", 8), 0);
}

TEST_F(HostRegionTest, BodiesGrowAndKeepTheirContent) {
  HostRegion::Body first, second;
  ASSERT_TRUE(region.Reserve(&first, 100).ok());
  ASSERT_TRUE(region.Reserve(&second, 100).ok());  // in the way of the first
  std::memcpy(region.At(first), "keep", 4);
  first.size = 4;
  ASSERT_TRUE(region.Reserve(&first, 1 << 20).ok());
  EXPECT_EQ(std::memcmp(region.At(first), "keep", 4), 0);
}

TEST_F(HostRegionTest, FullIsAnErrorAndReleaseMakesRoom) {
  HostRegion::Body body;
  EXPECT_EQ(region.Reserve(&body, kSize).code(), ENOSPC);
  ASSERT_TRUE(region.Reserve(&body, 3 << 20).ok());
  body.size = 3 << 20;
  Result<uint32_t> entry = region.Publish(body);
  ASSERT_TRUE(entry.ok());
  HostRegion::Body other;
  EXPECT_EQ(region.Reserve(&other, 2 << 20).code(), ENOSPC);
  region.Release(*entry);
  EXPECT_TRUE(region.Reserve(&other, 2 << 20).ok());
}

TEST_F(HostRegionTest, HostileReleasesChangeNothing) {
  ASSERT_TRUE(region.AddFile("/a", Bytes("x"), 0644).ok());
  const uint64_t before = region.free_bytes();
  for (uint32_t number : {0u, 1u, 500u, abi::kHostEntries, ~0u}) region.Release(number);
  EXPECT_EQ(region.free_bytes(), before);
  HostRegion::Body body;
  ASSERT_TRUE(region.Reserve(&body, 10).ok());
  body.size = 10;
  const uint32_t entry = *region.Publish(body);
  region.Release(entry);
  region.Release(entry);  // twice
  EXPECT_EQ(region.free_bytes(), before);
}

TEST_F(HostRegionTest, TableFullIsAnError) {
  int added = 0;
  while (added < 2000 && region.AddFile("/f" + std::to_string(added), {}, 0644).ok()) ++added;
  EXPECT_LE(added, static_cast<int>(abi::kHostEntries));
  EXPECT_GT(added, 500);
}

}  // namespace
}  // namespace usetl
