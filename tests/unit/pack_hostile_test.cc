#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <vector>

#include "tests/unit/pack_fixture.h"

namespace usetl::pack {
namespace {

using abi::PackEntry;
using abi::PackHeader;
using abi::PackType;

// Every field of header and entries, set to values that break it.
class HostilePackTest : public PackTest {
 protected:
  void SetUp() override {
    PackTest::SetUp();
    Put("d/one", "1");
    Put("d/two", "2");
    fs::create_hard_link(directory_ / "root/d/one", directory_ / "root/d/three");
    fs::create_symlink("d", directory_ / "root/s");
    Result<Pack> pack = PackDirectory();
    ASSERT_TRUE(pack.ok());
    bytes_.assign(pack->bytes().begin(), pack->bytes().end());
    directory_entry_ = pack->Find("d") - pack->entries().data();
    one_ = pack->Find("d/one") - pack->entries().data();
    three_ = pack->Find("d/three") - pack->entries().data();
    symlink_ = pack->Find("s") - pack->entries().data();
  }
  bool Refused(const std::function<void(PackHeader*)>& change) {
    std::vector<uint8_t> copy = bytes_;
    change(reinterpret_cast<PackHeader*>(copy.data()));
    return !CheckPack(copy, false).ok();
  }
  bool RefusedEntry(size_t i, const std::function<void(PackEntry*)>& change) {
    return Refused([&](PackHeader* h) { change(reinterpret_cast<PackEntry*>(h + 1) + i); });
  }

  std::vector<uint8_t> bytes_;
  size_t directory_entry_, one_, three_, symlink_;
};

TEST_F(HostilePackTest, EveryHeaderField) {
  ASSERT_TRUE(CheckPack(bytes_, true).ok());
  EXPECT_TRUE(Refused([](PackHeader* h) { h->magic ^= 1; }));
  EXPECT_TRUE(Refused([](PackHeader* h) { ++h->abi_version; }));
  for (uint32_t count : {0u, 1u, 5u, 7u, 1000u, ~0u}) {
    EXPECT_TRUE(Refused([&](PackHeader* h) { h->entry_count = count; })) << count;
  }
  for (uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{4096}, ~uint64_t{0}, ~uint64_t{4095}}) {
    EXPECT_TRUE(Refused([&](PackHeader* h) { h->size = value; })) << value;
    EXPECT_TRUE(Refused([&](PackHeader* h) { h->names_offset = value; })) << value;
    EXPECT_TRUE(Refused([&](PackHeader* h) { h->data_offset = value; }) || value == 4096) << value;
  }
  EXPECT_TRUE(Refused([](PackHeader* h) { h->names_size = 0; }));
  EXPECT_TRUE(Refused([](PackHeader* h) { h->names_size = ~uint64_t{0}; }));
  EXPECT_TRUE(Refused([](PackHeader* h) { h->reserved = 1; }));
  std::vector<uint8_t> copy = bytes_;
  copy.back() ^= 1;
  EXPECT_TRUE(CheckPack(copy, false).ok());
  EXPECT_FALSE(CheckPack(copy, true).ok());
}

TEST_F(HostilePackTest, EveryEntryField) {
  const size_t count = reinterpret_cast<PackHeader*>(bytes_.data())->entry_count;
  ASSERT_EQ(count, 6u);
  for (size_t i = 0; i < count; ++i) {
    const auto refused = [&](const std::function<void(PackEntry*)>& change) {
      return RefusedEntry(i, change);
    };
    EXPECT_TRUE(refused([](PackEntry* e) { e->name_offset = 0; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->name_offset = ~uint64_t{0}; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->name_size = ~0u; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->name_size ^= e->name_size ? e->name_size : 1; }))
        << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->type = PackType{0}; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->type = PackType{6}; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->mode |= 0x8000; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->size = ~uint64_t{0}; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->offset = ~uint64_t{0}; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->offset += 1; }) || i == symlink_) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->parent = ~0u; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->parent ^= 1; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->hard_link = ~0u; })) << i;
    EXPECT_TRUE(refused([](PackEntry* e) { e->hard_link ^= 2; })) << i;
  }
}

TEST_F(HostilePackTest, NamesLinksAndCycles) {
  const auto rename = [this](size_t i, char c) {
    std::vector<uint8_t> copy = bytes_;
    auto* entry = reinterpret_cast<PackEntry*>(copy.data() + sizeof(PackHeader)) + i;
    copy[entry->name_offset] = c;
    return !CheckPack(copy, false).ok();
  };
  EXPECT_TRUE(rename(one_, '/'));
  EXPECT_TRUE(rename(one_, 0));
  EXPECT_TRUE(rename(one_, 'x'));              // out of order
  EXPECT_TRUE(rename(directory_entry_, '.'));  // "." itself
  EXPECT_TRUE(rename(directory_entry_, 's'));  // the name of a sibling
  EXPECT_TRUE(RefusedEntry(directory_entry_, [](PackEntry* e) { e->offset = 0; }));
  EXPECT_TRUE(RefusedEntry(directory_entry_, [](PackEntry* e) { e->offset = 1; }));
  EXPECT_TRUE(RefusedEntry(directory_entry_, [](PackEntry* e) { --e->size; }));
  EXPECT_TRUE(RefusedEntry(directory_entry_, [](PackEntry* e) { ++e->size; }));
  EXPECT_TRUE(RefusedEntry(one_, [](PackEntry* e) { e->offset = 0; }));
  EXPECT_TRUE(RefusedEntry(three_, [](PackEntry* e) { e->offset += abi::kPageSize; }));
  EXPECT_TRUE(RefusedEntry(three_, [](PackEntry* e) { e->size = 0; }));
  EXPECT_TRUE(RefusedEntry(symlink_, [](PackEntry* e) { e->size = 0; }));
  EXPECT_FALSE(OpenPack(directory_, false).ok());
  std::ofstream(directory_ / "empty").flush();
  EXPECT_FALSE(OpenPack(directory_ / "empty", false).ok());
  for (size_t size : {1, 87, 88, 100, 4096}) {
    EXPECT_FALSE(CheckPack(std::span(bytes_).first(size), false).ok()) << size;
  }
}

}  // namespace
}  // namespace usetl::pack
