#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <cstring>
#include <random>
#include <vector>

#include "vmm/proxy/region/guest_region_view.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl {
namespace {

constexpr uint64_t kSize = 32 << 20;

class Memory {
 public:
  explicit Memory(uint64_t size = kSize)
      : size_(size),
        base_(static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Memory() { munmap(base_, size_); }
  uint8_t* base() { return base_; }
  const abi::FileTable& table() { return *reinterpret_cast<abi::FileTable*>(base_); }
  uint64_t size() const { return size_; }

 private:
  uint64_t size_;
  uint8_t* base_;
};

std::vector<uint8_t> Pattern(size_t size, uint8_t seed) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(seed + i * 7 + (i >> 8));
  return bytes;
}

TEST(HostRegion, FormatsTheTable) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  EXPECT_EQ(memory.table().magic, abi::kFileTableMagic);
  EXPECT_EQ(memory.table().region_size, kSize);
  EXPECT_EQ(memory.table().used, 0u);
  EXPECT_EQ(memory.table().data_base, region.data_base());
}

TEST(HostRegion, EntriesPassTheConsumersCheck) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4090}, size_t{4096}, size_t{100'000}}) {
    const std::string name = "/srv/function/file" + std::to_string(size);
    const auto content = Pattern(size, 3);
    ASSERT_TRUE(region.AddFile(name, content, 0644).ok());
    const abi::FileEntry entry = memory.table().entries[memory.table().used - 1];
    EXPECT_TRUE(abi::CheckEntry(entry, memory.table().data_base, kSize));
    EXPECT_EQ(entry.sequence % 2, 0u);
    EXPECT_EQ(
        std::string(reinterpret_cast<char*>(memory.base()) + entry.name_offset, entry.name_size),
        name.substr(1));
    ASSERT_EQ(entry.size, size);
    if (size != 0) {
      EXPECT_EQ(std::memcmp(memory.base() + entry.offset, content.data(), size), 0);
    }
  }
  EXPECT_EQ(memory.table().generation, 6u);
}

TEST(HostRegion, AddsFilesFromDescriptors) {
  Memory memory;
  HostRegion region(memory.base(), kSize, true);
  region.Format();
  const auto content = Pattern(1'500'000, 9);
  const int fd = memfd_create("f", 0);
  ASSERT_EQ(write(fd, content.data(), content.size()), ssize_t(content.size()));
  ASSERT_TRUE(region.AddFileFrom("/f", fd, 0, content.size(), 0755).ok());
  const abi::FileEntry entry = memory.table().entries[0];
  EXPECT_EQ(entry.offset % abi::kHugePageSize, 0u);
  EXPECT_EQ(std::memcmp(memory.base() + entry.offset, content.data(), content.size()), 0);
  ASSERT_TRUE(region.AddFileFrom("/part", fd, 1000, 200'000, 0644).ok());
  const abi::FileEntry part = memory.table().entries[1];
  EXPECT_EQ(std::memcmp(memory.base() + part.offset, content.data() + 1000, part.size), 0);
  EXPECT_NE(part.offset % abi::kHugePageSize, 0u) << "many such files would fill the region";
  const uint64_t free = region.free_bytes();
  EXPECT_EQ(region.AddFileFrom("/x", fd, 1'400'000, 200'000, 0644).code(), EPROTO);
  EXPECT_EQ(region.AddFileFrom("/x", epoll_create1(0), 0, 1, 0644).code(), ESPIPE);
  EXPECT_EQ(region.free_bytes(), free);
  close(fd);
}

TEST(HostRegion, AddsDirectoriesAndLinks) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  ASSERT_TRUE(region.AddDirectory("/data", 01777).ok());
  ASSERT_TRUE(region.AddLink("/current", "data/v1").ok());
  const abi::FileEntry directory = memory.table().entries[0];
  EXPECT_EQ(directory.type, abi::FileType::kDirectory);
  EXPECT_EQ(directory.mode, 01777);
  const abi::FileEntry link = memory.table().entries[1];
  EXPECT_EQ(link.type, abi::FileType::kSymlink);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(memory.base()) + link.offset, link.size),
            "data/v1");
  for (const abi::FileEntry& entry : {directory, link}) {
    EXPECT_TRUE(abi::CheckEntry(entry, region.data_base(), kSize));
  }
}

TEST(HostRegion, KeepsWhatWasReplacedUntilTheNextUpdate) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  ASSERT_TRUE(region.AddLink("/d/link", "one").ok());
  ASSERT_TRUE(region.AddFile("/d/f", Pattern(5000, 1), 0644).ok());
  EXPECT_EQ(region.NamesBelow("d"), (std::vector<std::string>{"d/f", "d/link"}));
  const abi::FileEntry one = memory.table().entries[0], f = memory.table().entries[1];
  region.BeginUpdate();
  const uint64_t generation = memory.table().generation;
  ASSERT_TRUE(region.ReplaceLink("d/link", "another").ok());
  region.Remove("d/f");
  EXPECT_GT(memory.table().generation, generation);
  EXPECT_FALSE(region.Has("d/f"));
  EXPECT_EQ(memory.table().entries[1].type, abi::FileType::kNone);
  const abi::FileEntry another = memory.table().entries[0];
  const auto text = [&](const abi::FileEntry& entry) {
    return std::string(reinterpret_cast<char*>(memory.base()) + entry.offset, entry.size);
  };
  EXPECT_EQ(text(another), "another");
  EXPECT_EQ(text(one), "one");
  ASSERT_TRUE(region.AddFile("/g", Pattern(5000, 9), 0644).ok());
  EXPECT_EQ(std::memcmp(memory.base() + f.offset, Pattern(5000, 1).data(), 5000), 0);
  const uint64_t free = region.free_bytes();
  region.BeginUpdate();
  EXPECT_GT(region.free_bytes(), free);
}

TEST(HostRegion, RefusesBadAndDoubleNames) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  EXPECT_EQ(region.AddFile("", {}, 0644).code(), EINVAL);
  EXPECT_EQ(region.AddFile("///", {}, 0644).code(), EINVAL);
  EXPECT_EQ(region.AddFile(std::string(513, 'a'), {}, 0644).code(), EINVAL);
  EXPECT_EQ(region.AddFile(std::string("a\0b", 3), {}, 0644).code(), EINVAL);
  EXPECT_TRUE(region.AddFile("/a", {}, 0644).ok());
  EXPECT_EQ(region.AddFile("a", {}, 0644).code(), EINVAL);
  const uint64_t free = region.free_bytes();
  EXPECT_EQ(region.AddFile("a", Pattern(9000, 1), 0644).code(), EINVAL);
  EXPECT_EQ(region.free_bytes(), free);
}

TEST(HostRegion, GrowsInPlaceAndMoves) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  auto first = region.Reserve(4096);
  ASSERT_TRUE(first.ok());
  const auto content = Pattern(3'000'000, 5);
  ASSERT_TRUE(first->Append(content).ok());
  EXPECT_FALSE(first->moved());
  auto second = region.Reserve(1);  // lies right behind, so the first has to move
  ASSERT_TRUE(second.ok());
  ASSERT_TRUE(first->Append(content).ok());
  EXPECT_TRUE(first->moved());
  EXPECT_EQ(std::memcmp(first->data(), content.data(), content.size()), 0);
  EXPECT_EQ(std::memcmp(first->data() + content.size(), content.data(), content.size()), 0);
}

TEST(HostRegion, ReportsExhaustionAndRecovers) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  const uint64_t all = region.free_bytes();
  EXPECT_EQ(region.Reserve(kSize).status().code(), ENOSPC);
  EXPECT_EQ(region.Reserve(~uint64_t{0}).status().code(), ENOSPC);
  EXPECT_EQ(region.Reserve(~uint64_t{0} - 4000).status().code(), ENOSPC);
  {
    auto body = region.Reserve(all - 8192);
    ASSERT_TRUE(body.ok());
    EXPECT_EQ(body->Grow(all + 1).code(), ENOSPC);
    EXPECT_TRUE(body->Grow(all).ok());
    EXPECT_EQ(region.Reserve(1).status().code(), ENOSPC);
  }
  EXPECT_EQ(region.free_bytes(), all);
  EXPECT_TRUE(region.Reserve(all).ok());
}

TEST(HostRegion, PublishTrimsAndReleaseFrees) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  const uint64_t all = region.free_bytes();
  auto body = region.Reserve(10 << 20);
  ASSERT_TRUE(body.ok());
  ASSERT_TRUE(body->Append(Pattern(5000, 2)).ok());
  const auto published = body->Publish();
  ASSERT_TRUE(published.ok());
  EXPECT_FALSE(body->ok());
  EXPECT_EQ(published->size, 5000u);
  EXPECT_EQ(all - region.free_bytes(), 8192u);
  const abi::FileEntry entry = memory.table().entries[published->entry];
  EXPECT_TRUE(abi::CheckEntry(entry, memory.table().data_base, kSize));
  EXPECT_EQ(entry.name_size, 0u);
  region.Release(published->entry);
  region.Release(published->entry);
  EXPECT_EQ(region.free_bytes(), all);
  EXPECT_EQ(region.live_bodies(), 0u);
  EXPECT_EQ(memory.table().entries[published->entry].type, abi::FileType::kNone);
}

TEST(HostRegion, IgnoresHostileReleases) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  ASSERT_TRUE(region.AddFile("/keep", Pattern(100, 1), 0644).ok());
  const uint64_t free = region.free_bytes();
  for (const uint32_t number : {0u, 1u, 1022u, 1023u, 1024u, 0x7fff'ffffu, ~0u}) {
    region.Release(number);
  }
  EXPECT_EQ(region.free_bytes(), free);
  EXPECT_EQ(memory.table().entries[0].type, abi::FileType::kRegular);
}

TEST(HostRegion, AlignsLargeBodiesToHugePages) {
  Memory memory;
  HostRegion region(memory.base(), kSize, true);
  region.Format();
  auto small = region.Reserve(1000);
  auto large = region.Reserve(100'000);
  auto other = region.Reserve(3 << 20);
  ASSERT_TRUE(small.ok() && large.ok() && other.ok());
  EXPECT_EQ(large->offset() % abi::kHugePageSize, 0u);
  EXPECT_EQ(other->offset() % abi::kHugePageSize, 0u);
  const auto content = Pattern(200'000, 1);  // a small one that grows moves onto a boundary
  ASSERT_TRUE(small->Append(content).ok());
  EXPECT_EQ(small->offset() % abi::kHugePageSize, 0u);
  EXPECT_EQ(std::memcmp(small->data(), content.data(), content.size()), 0);
}

TEST(HostRegion, FallsBackToSmallPagesWhenShort) {
  Memory memory(4 << 20);
  HostRegion region(memory.base(), 4 << 20, true);
  region.Format();
  auto body = region.Reserve(3 << 20);  // no 3 MB behind a 2 MB boundary
  ASSERT_TRUE(body.ok());
}

TEST(HostRegion, RunsOutOfEntries) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  std::vector<uint32_t> entries;
  for (;;) {
    auto body = region.Reserve(1);
    ASSERT_TRUE(body.ok());
    ASSERT_TRUE(body->Append(Pattern(1, 1)).ok());
    auto published = body->Publish();
    if (!published.ok()) {
      EXPECT_EQ(published.status().code(), ENOSPC);
      EXPECT_TRUE(body->ok());
      break;
    }
    entries.push_back(published->entry);
  }
  EXPECT_EQ(entries.size(), abi::kHostEntries);
  region.Release(17);
  auto body = region.Reserve(1);
  ASSERT_TRUE(body.ok());
  auto published = body->Publish();
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->entry, 17u);
}

TEST(HostRegion, WindowsShrinkWithTheRegion) {
  Memory memory(1 << 20);
  HostRegion region(memory.base(), 1 << 20, false);
  region.Format();
  auto window = region.ReserveWindow();
  ASSERT_TRUE(window.ok());
  EXPECT_GE(window->capacity(), 64u << 10);
  EXPECT_LE(window->capacity(), 512u << 10);
  auto rest = region.Reserve(region.free_bytes());
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(region.ReserveWindow().status().code(), ENOSPC);
}

TEST(HostRegion, ResetTakesEverythingBack) {
  Memory memory;
  HostRegion region(memory.base(), kSize, false);
  region.Format();
  const uint64_t all = region.free_bytes();
  ASSERT_TRUE(region.AddFile("/a", Pattern(10, 1), 0644).ok());
  auto open = region.Reserve(1 << 20);
  const uint64_t generation = memory.table().generation;
  region.Reset();
  EXPECT_EQ(region.free_bytes(), all);
  EXPECT_EQ(memory.table().entries[0].type, abi::FileType::kNone);
  EXPECT_GT(memory.table().generation, generation);
  open->Discard();  // from before the reset: frees nothing
  EXPECT_EQ(region.free_bytes(), all);
}

TEST(HostRegion, RandomOperationsLoseNothing) {
  Memory memory;
  HostRegion region(memory.base(), kSize, true);
  region.Format();
  const uint64_t all = region.free_bytes();
  std::mt19937 random(42);
  std::vector<std::pair<PublishedBody, uint8_t>> bodies;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 2 == 0) {
      const auto seed = static_cast<uint8_t>(random());
      auto body = region.Reserve(random() % 50'000);
      if (!body.ok()) continue;
      if (!body->Append(Pattern(random() % 300'000, seed)).ok()) continue;
      auto published = body->Publish();
      if (published.ok()) bodies.push_back({*published, seed});
    } else if (!bodies.empty()) {
      const size_t at = random() % bodies.size();
      const auto [body, seed] = bodies[at];
      const auto expected = Pattern(body.size, seed);
      ASSERT_EQ(std::memcmp(memory.base() + body.offset, expected.data(), body.size), 0);
      region.Release(body.entry);
      bodies.erase(bodies.begin() + at);
    }
  }
  for (const auto& [body, seed] : bodies) region.Release(body.entry);
  EXPECT_EQ(region.free_bytes(), all);
}

// The guest region as its kernel writes it.
class GuestRegion : public testing::Test {
 protected:
  GuestRegion() : view_(memory_.base(), kSize) {
    auto& table = *reinterpret_cast<abi::FileTable*>(memory_.base());
    table.magic = abi::kFileTableMagic;
    table.data_base = abi::TableBytes(abi::kGuestEntries);
    table.used = 2;
    Put(0, "tmp/other", 10);
    Put(1, "tmp/result.json", 100);
  }
  void Put(uint32_t slot, std::string_view name, uint64_t size) {
    abi::FileEntry& entry = Entry(slot);
    entry = {};
    entry.type = abi::FileType::kRegular;
    entry.size = size;
    entry.offset = table().data_base + slot * 8192;
    entry.capacity = 4096;
    entry.name_offset = entry.offset + 4096;
    entry.name_size = static_cast<uint32_t>(name.size());
    std::memcpy(memory_.base() + entry.name_offset, name.data(), name.size());
  }
  abi::FileTable& table() { return *reinterpret_cast<abi::FileTable*>(memory_.base()); }
  abi::FileEntry& Entry(uint32_t slot) { return table().entries[slot]; }
  Memory memory_;
  GuestRegionView view_;
};

TEST_F(GuestRegion, ChecksSpans) {
  EXPECT_TRUE(view_.Span(0, kSize).ok());
  EXPECT_TRUE(view_.Span(kSize, 0).ok());
  EXPECT_FALSE(view_.Span(kSize, 1).ok());
  EXPECT_FALSE(view_.Span(1, kSize).ok());
  EXPECT_FALSE(view_.Span(~uint64_t{0}, 2).ok());
  EXPECT_FALSE(view_.Span(8, ~uint64_t{0} - 4).ok());
}

TEST_F(GuestRegion, FindsFiles) {
  const auto found = view_.FindFile("/tmp/result.json");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->data(), memory_.base() + Entry(1).offset);
  EXPECT_EQ(found->size(), 100u);
  EXPECT_EQ(view_.FindFile("/tmp/none").status().code(), ENOENT);
}

TEST_F(GuestRegion, SurvivesHostileTables) {
  Entry(1).size = 5000;  // more than its capacity
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  Put(1, "tmp/result.json", 100);
  Entry(1).offset = ~uint64_t{4095};
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  Put(1, "tmp/result.json", 100);
  Entry(1).name_offset = kSize - 3;
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  Put(1, "tmp/result.json", 100);
  Entry(1).sequence = 7;  // for ever being changed
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EAGAIN);
  Entry(1).sequence = 8;
  table().used = ~0u;
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  table().used = 2;
  table().data_base = ~uint64_t{0};
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  table().data_base = 8;
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  table().magic = 0;
  EXPECT_EQ(view_.FindFile("/tmp/result.json").status().code(), EPROTO);
  EXPECT_EQ(GuestRegionView(memory_.base(), 10).FindFile("/a").status().code(), EPROTO);
}

}  // namespace
}  // namespace usetl
