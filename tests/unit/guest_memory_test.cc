// Layers of an image in the memory of a USF: where they lie, and that they go.
#include "vmm/usf/guest_memory.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "tests/unit/fake_machine.h"

namespace usetl {
namespace {

constexpr uint64_t kPage = abi::kPageSize, kHuge = abi::kHugePageSize;

class SlotList final : public FakeMachine {
 public:
  // What the guest finds there; null: nothing.
  const char* At(uint64_t gpa) const {
    for (const Slot& slot : slots) {
      if (!slot.guest.Contains(gpa, 1)) continue;
      const char* host = static_cast<const char*>(slot.host) + (gpa - slot.guest.base);
      int probe[2];
      if (pipe(probe) != 0) abort();
      const bool there = write(probe[1], host, 1) == 1;  // EFAULT instead of a signal
      close(probe[0]);
      close(probe[1]);
      return there ? host : nullptr;
    }
    return nullptr;
  }
};

struct GuestMemoryTest : testing::Test {
  GuestMemoryTest() {
    MemoryConfig config;
    control = File(abi::kControl.size, "");
    config.control_fd = control.get();
    Result<GuestMemory> made = GuestMemory::Create(config, &machine);
    if (!made.ok()) abort();
    memory.emplace(std::move(*made));
    others = machine.slots.size() - 1;
  }
  static Fd File(uint64_t size, const char* text) {
    Fd file(memfd_create("pack", MFD_CLOEXEC));
    EXPECT_EQ(ftruncate(file.get(), static_cast<off_t>(size)), 0);
    EXPECT_EQ(pwrite(file.get(), text, strlen(text) + 1, 0),
              static_cast<ssize_t>(strlen(text) + 1));
    return file;
  }
  Status Map(const std::vector<uint64_t>& sizes) {
    std::vector<Fd> files;
    std::vector<MemoryConfig::Pack> packs;
    for (const uint64_t size : sizes) {
      const uint64_t most = 2 * abi::kImagePacks.size;
      files.push_back(File(std::min(size, most), std::to_string(packs.size()).c_str()));
      packs.push_back({files.back().get(), size});
    }
    return memory->MapImagePacks(packs, &machine);
  }

  SlotList machine;
  Fd control;
  std::optional<GuestMemory> memory;
  size_t others;  // slots of other memory
};

TEST_F(GuestMemoryTest, ImagesComeAndGo) {
  ASSERT_TRUE(Map({kPage, 3 * kPage, kHuge, kPage}).ok());
  const std::vector<abi::Window> windows = memory->image_packs();
  ASSERT_EQ(windows.size(), 4u);
  EXPECT_EQ(windows[1].base, abi::kImagePacks.base + kPage);
  EXPECT_EQ(windows[2].base % kHuge, 0u);
  EXPECT_EQ(windows[3].base, windows[2].end());
  for (size_t i = 0; i < windows.size(); ++i) {
    ASSERT_NE(machine.At(windows[i].base), nullptr) << i;
    EXPECT_EQ(machine.At(windows[i].base), std::to_string(i)) << i;
  }
  EXPECT_EQ(machine.At(windows[1].end()), nullptr);
  EXPECT_EQ(Map({kPage}).code(), EBUSY);
  const size_t slots = machine.slots.size();
  ASSERT_TRUE(memory->UnmapImagePacks().ok());
  EXPECT_TRUE(memory->image_packs().empty());
  for (const abi::Window& window : windows) EXPECT_EQ(machine.At(window.base), nullptr);
  // The next one finds nothing of it beyond its own.
  ASSERT_TRUE(Map({kPage}).ok());
  EXPECT_STREQ(machine.At(windows[0].base), "0");
  EXPECT_EQ(machine.At(windows[1].base), nullptr);
  EXPECT_EQ(machine.slots.size(), slots);
  EXPECT_FALSE(memory->grown());
}

TEST_F(GuestMemoryTest, SlotsGrowWithImages) {
  for (const uint64_t size : {8 * kHuge, 9 * kHuge, 100 * kHuge, 150 * kHuge, kPage}) {
    ASSERT_TRUE(Map({kPage, size}).ok());
    EXPECT_STREQ(machine.At(memory->image_packs()[1].base), "1");
    EXPECT_NE(machine.At(memory->image_packs()[1].end() - 1), nullptr);
    ASSERT_TRUE(memory->UnmapImagePacks().ok());
  }
  EXPECT_TRUE(memory->grown());
  EXPECT_LE(machine.slots.size(), others + 7);
  uint64_t at = abi::kImagePacks.base;
  for (size_t i = others; i < machine.slots.size(); ++i) {
    const Machine::Slot& slot = machine.slots[i];
    EXPECT_EQ(slot.number, kFirstImageSlot + (i - others));
    EXPECT_TRUE(slot.read_only);
    EXPECT_EQ(slot.guest.base, at);
    at = slot.guest.end();
  }
}

TEST_F(GuestMemoryTest, ImagesThatFitKeepTheUsf) {
  for (const uint64_t size : {65 * kHuge, 70 * kHuge, 127 * kHuge}) {
    ASSERT_TRUE(Map({kPage, size}).ok());
    EXPECT_NE(machine.At(memory->image_packs()[1].end() - 1), nullptr);
    ASSERT_TRUE(memory->UnmapImagePacks().ok());
    EXPECT_FALSE(memory->grown()) << size / kHuge;
  }
}

TEST_F(GuestMemoryTest, ImagesHaveAMostSize) {
  EXPECT_EQ(Map(std::vector<uint64_t>(abi::kMaxImagePacks + 1, kPage)).code(), E2BIG);
}

TEST_F(GuestMemoryTest, ImagesFillTheirWindow) {
  EXPECT_TRUE(Map({abi::kImagePacks.size}).ok());
  ASSERT_TRUE(memory->UnmapImagePacks().ok());
  EXPECT_EQ(Map({abi::kImagePacks.size, kPage}).code(), E2BIG);
}

TEST_F(GuestMemoryTest, RefusesSizesThatWrap) {
  EXPECT_EQ(Map({kPage, ~uint64_t{0}}).code(), E2BIG);
}

}  // namespace
}  // namespace usetl
