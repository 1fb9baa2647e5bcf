// Mapping requests of a hostile guest: what AddressSpace::Apply carries out, and what it refuses.
#include "vmm/usf/address_space.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <optional>

#include "tests/unit/fake_machine.h"
#include "vmm/platform/x86.h"

namespace usetl {
namespace {

using abi::kPageSize;
using abi::RangeOp;
using abi::RangeRequest;

constexpr uint32_t kNone = abi::kProtNone, kRead = abi::kProtRead;
constexpr uint32_t kReadWrite = kRead | abi::kProtWrite, kReadExec = kRead | abi::kProtExec;
constexpr uint64_t kVa = abi::kMapped.base;
constexpr uint64_t kRegion = 4 << 20, kPack = 3 * kPageSize;
constexpr uint64_t kPackGpa = abi::kPacks.base;

struct AddressSpaceTest : testing::Test {
  AddressSpaceTest() {
    config.control_fd = control.get();
    config.host_region_fd = host_region.get();
    config.guest_region_fd = guest_region.get();
    config.host_region_size = config.guest_region_size = kRegion;
    config.ram_size = 32 << 20;
    config.frames_size = config.frames_limit = 4 << 20;
    config.packs = {{pack.get(), kPack}};
    Result<GuestMemory> made = GuestMemory::Create(config, &machine);
    if (!made.ok()) abort();
    memory.emplace(std::move(*made));
    space.emplace(&*memory, &machine, AddressSpaceState{});
    const uint64_t text = abi::kKernelImage.base + 2 * kPageSize;
    if (!space->MapFixedZones(text, text + kPageSize, text + 2 * kPageSize).ok()) abort();
  }
  static Fd File(uint64_t size) {
    Fd file(memfd_create("memory", MFD_CLOEXEC));
    if (ftruncate(file.get(), static_cast<off_t>(size)) != 0) abort();
    return file;
  }
  int Apply(RangeOp op, uint32_t protection, uint64_t va, uint64_t length, uint64_t gpa = 0) {
    return space->Apply({{op, protection, va, length, gpa}}, &switched);
  }
  // The entry for `va` in the tables that the guest runs on; 0: nothing is there.
  uint64_t Entry(uint64_t va) {
    const AddressSpaceState state = space->state();
    return PageTables(memory->tables() + (abi::kTableArena.base - abi::kTables.base), state.root,
                      state.tables_used)
        .Lookup(va);
  }
  uint64_t PageAt(uint64_t va) { return Entry(va) & x86::kAddressMask; }
  bool Writable(uint64_t va) { return (Entry(va) & x86::kWritable) != 0; }
  bool Executable(uint64_t va) { return Entry(va) != 0 && !(Entry(va) & x86::kNoExecute); }
  // Every address that leads to a guest-physical page, of those that may.
  void ExpectNoWritableCode() {
    for (uint64_t va = 0; va < abi::kMapped.end();) {
      uint64_t step = 0;
      const AddressSpaceState state = space->state();
      const uint64_t entry =
          PageTables(memory->tables() + (abi::kTableArena.base - abi::kTables.base), state.root,
                     state.tables_used)
              .LookupStep(va, &step);
      if (entry != 0 && !(entry & x86::kNoExecute)) {
        EXPECT_FALSE(entry & x86::kWritable) << std::hex << va;
        EXPECT_FALSE(abi::kGuestRegion.Contains(entry & x86::kAddressMask, 1)) << std::hex << va;
      }
      va += step;
    }
  }

  Fd control = File(abi::kControl.size), host_region = File(kRegion), guest_region = File(kRegion),
     pack = File(kPack);
  MemoryConfig config;
  FakeMachine machine;
  std::optional<GuestMemory> memory;
  std::optional<AddressSpace> space;
  bool switched = false;
};

TEST_F(AddressSpaceTest, TablesAreUsedAgainOnceThePlatformHasForgottenThem) {
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, kPageSize), 0);
  const uint64_t kept = PageAt(kVa), far = kVa + (64 << 20);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, far, 2 * kPageSize), 0) << i;
    ASSERT_NE(PageAt(far), 0u);
    ASSERT_EQ(Apply(RangeOp::kUnmap, kNone, far, 2 * kPageSize), 0) << i;
    EXPECT_TRUE(switched);
    EXPECT_EQ(Entry(far), 0u);
  }
  EXPECT_GE(machine.renewed.size(), 10u);
  EXPECT_LE(machine.renewed.size(), 40u);
  for (const uint32_t slot : machine.renewed) EXPECT_EQ(slot, kTablesSlot);
  EXPECT_EQ(PageAt(kVa), kept);
}

TEST_F(AddressSpaceTest, AFullArenaServesOnAndIsEmptyForTheNext) {
  ASSERT_TRUE(space->Reset(space->state()).ok());
  const AddressSpaceState snapshot = space->state();
  uint64_t count = 0;  // of pages that have a table each
  while (Apply(RangeOp::kAnonymous, kReadWrite, kVa + count * abi::kHugePageSize, kPageSize) == 0) {
    ++count;
  }
  EXPECT_GT(count, 440u);
  for (int i = 0; i < 20; ++i) {
    const uint64_t va = kVa + static_cast<uint64_t>(i) * abi::kHugePageSize;
    ASSERT_EQ(Apply(RangeOp::kUnmap, kNone, va, kPageSize), 0) << i;
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, va, kPageSize), 0) << i;
    ASSERT_EQ(Apply(RangeOp::kProtect, kRead, va, kPageSize), 0) << i;
  }
  for (uint64_t i = 0; i < count; ++i) ASSERT_NE(Entry(kVa + i * abi::kHugePageSize), 0u) << i;
  ASSERT_TRUE(space->Reset(snapshot).ok());
  EXPECT_EQ(space->state().tables_used, snapshot.tables_used);
  EXPECT_EQ(space->root(), snapshot.root);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, kPageSize), 0);
}

TEST_F(AddressSpaceTest, ARootThatLiesWhereAnEarlierOneLayIsSwitchedTo) {
  ASSERT_TRUE(space->Reset(space->state()).ok());
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, kPageSize), 0);
  const uint64_t far = kVa + (1 << 30), farther = kVa + (2ull << 30);
  while (space->state().tables_used < abi::kTableArena.size / 4 * 3) {
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, far, kPageSize), 0);
    ASSERT_EQ(Apply(RangeOp::kUnmap, kNone, far, kPageSize), 0);
  }
  ASSERT_TRUE(switched);
  const uint64_t root = space->root();
  // No root is copied, until the arena has room for no more.
  for (uint64_t va = farther; space->state().tables_used <= abi::kTableArena.size - 8 * kPageSize;
       va += abi::kHugePageSize) {
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, va, kPageSize), 0);
  }
  ASSERT_EQ(space->root(), root);
  memory->host_page().ram_limit = abi::kRam.base + config.ram_limit;
  ASSERT_EQ(space->GrowRam(memory->ram_size() + abi::kHugePageSize), 0);
  ASSERT_EQ(machine.renewed.size(), 1u);
  const uint64_t root_at = root - abi::kTableArena.base;
  ASSERT_LT(space->state().tables_used, root_at);
  std::vector<RangeRequest> requests;
  // Each takes a table, and the first one more.
  for (uint64_t va = far; space->state().tables_used + (requests.size() + 1) * kPageSize < root_at;
       va += abi::kHugePageSize) {
    requests.push_back({RangeOp::kAnonymous, kReadWrite, va, kPageSize, 0});
  }
  requests.push_back({RangeOp::kUnmap, kNone, kVa, kPageSize, 0});
  ASSERT_EQ(space->Apply(requests, &switched), 0);
  EXPECT_TRUE(switched);
  EXPECT_EQ(space->root(), root);
  EXPECT_EQ(Entry(kVa), 0u);
}

TEST_F(AddressSpaceTest, WhatBringsNoRoomIsNotTried) {
  ASSERT_TRUE(space->Reset(space->state()).ok());
  uint64_t va = kVa;
  while (Apply(RangeOp::kAnonymous, kReadWrite, va, kPageSize) == 0) va += abi::kHugePageSize;
  const size_t renewed = machine.renewed.size();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, va, kPageSize), -ENOMEM);
    EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, va, ~0ull << 12), -EINVAL);
  }
  EXPECT_EQ(machine.renewed.size(), renewed);
}

TEST_F(AddressSpaceTest, FramesThatTheHostWroteAreToldOnce) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, 4 * kPageSize), 0);
    ASSERT_EQ(Apply(RangeOp::kUnmap, kNone, kVa, 4 * kPageSize), 0);
  }
  EXPECT_EQ(space->host_written().size(), 4u);
  ASSERT_TRUE(space->Reset(space->state()).ok());
  EXPECT_TRUE(space->host_written().empty());
}

TEST_F(AddressSpaceTest, WhatDoesNotFitLeavesNothing) {
  const uint64_t all = config.frames_limit;
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, all + kPageSize), -ENOMEM);
  EXPECT_EQ(Entry(kVa), 0u);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, all), 0);
}

TEST_F(AddressSpaceTest, WriteAndExecuteTogetherAreRefusedEverywhere) {
  const uint32_t both = kReadWrite | abi::kProtExec;
  EXPECT_EQ(Apply(RangeOp::kAnonymous, both, kVa, kPageSize), -EACCES);
  EXPECT_EQ(Apply(RangeOp::kShared, both, kVa, kPageSize, kPackGpa), -EACCES);
  EXPECT_EQ(Apply(RangeOp::kShared, both, kVa, kPageSize, abi::kGuestRegion.base), -EACCES);
  EXPECT_EQ(Apply(RangeOp::kProtect, both, abi::kHeapBase, kPageSize), -EACCES);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, kPageSize), 0);
  EXPECT_EQ(Apply(RangeOp::kProtect, both, kVa, kPageSize), -EACCES);
  EXPECT_FALSE(Executable(kVa));
  ExpectNoWritableCode();
}

TEST_F(AddressSpaceTest, CodeThatIsProtectedIsNoLongerWritable) {
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, 2 * kPageSize), 0);
  ASSERT_EQ(Apply(RangeOp::kProtect, kReadExec, kVa, kPageSize), 0);
  EXPECT_TRUE(switched);  // nothing flushes the old entry
  EXPECT_TRUE(Executable(kVa) && !Writable(kVa));
  EXPECT_TRUE(Writable(kVa + kPageSize) && !Executable(kVa + kPageSize));
  ExpectNoWritableCode();
}

TEST_F(AddressSpaceTest, PacksAndTheHostRegionNeverBecomeWritable) {
  for (const uint64_t gpa : {kPackGpa, abi::kHostRegion.base}) {
    const uint64_t va = kVa + kPageSize + (gpa - abi::kHostRegion.base) / 2;
    EXPECT_EQ(Apply(RangeOp::kShared, kReadWrite, va, kPageSize, gpa), -EACCES);
    EXPECT_EQ(Entry(va), 0u);
    ASSERT_EQ(Apply(RangeOp::kShared, kReadExec, va, kPageSize, gpa), 0);
    EXPECT_EQ(Apply(RangeOp::kProtect, kReadWrite, va, kPageSize), -EACCES);
    // Nor in the middle of what may.
    ASSERT_EQ(Apply(RangeOp::kAnonymous, kRead, va - kPageSize, kPageSize), 0);
    EXPECT_EQ(Apply(RangeOp::kProtect, kReadWrite, va - kPageSize, 2 * kPageSize), -EACCES);
    EXPECT_EQ(PageAt(va), gpa);
    EXPECT_FALSE(Writable(va));
  }
}

TEST_F(AddressSpaceTest, GuestRegionIsNeverCode) {
  const uint64_t gpa = abi::kGuestRegion.base;  // writable there
  EXPECT_EQ(Apply(RangeOp::kShared, kReadExec, kVa, kPageSize, gpa), -EACCES);
  for (const uint32_t first : {kRead, kReadWrite, kNone}) {
    ASSERT_EQ(Apply(RangeOp::kShared, first, kVa, kPageSize, gpa), 0);
    EXPECT_EQ(Apply(RangeOp::kProtect, kReadExec, kVa, kPageSize), -EACCES);
    EXPECT_FALSE(Executable(kVa));
    ExpectNoWritableCode();
    ASSERT_EQ(Apply(RangeOp::kUnmap, 0, kVa, kPageSize), 0);
  }
}

TEST_F(AddressSpaceTest, RangesStayInTheirZones) {
  const uint64_t places[] = {
      0,
      abi::kTables.base,
      abi::kTableArena.base,
      abi::kControl.base,
      abi::kKernelImage.base,
      abi::kKernelPages.base,
      abi::kRam.base + config.ram_size,
      abi::kFrames.base,
      abi::kHostRegion.base,
      abi::kGuestRegion.base,
      abi::kPacks.base,
      abi::kImagePacks.base,
      abi::kMapped.base - kPageSize,
      abi::kMapped.end(),
      abi::kLowMapped.end(),
      abi::kLowMapped.base - kPageSize,
      1ull << 47,
      ~0ull << 47,
      ~0ull - kPageSize + 1,
  };
  const AddressSpaceState before = space->state();
  for (const uint64_t va : places) {
    for (const RangeOp op :
         {RangeOp::kAnonymous, RangeOp::kShared, RangeOp::kProtect, RangeOp::kUnmap}) {
      EXPECT_EQ(Apply(op, kRead, va, kPageSize, kPackGpa), -EINVAL) << std::hex << va;
      EXPECT_FALSE(switched);
    }
  }
  // The heap may be protected, and nothing else of it.
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kRead, abi::kHeapBase, kPageSize), -EINVAL);
  EXPECT_EQ(Apply(RangeOp::kShared, kRead, abi::kHeapBase, kPageSize, kPackGpa), -EINVAL);
  EXPECT_EQ(Apply(RangeOp::kUnmap, 0, abi::kHeapBase, kPageSize), -EINVAL);
  EXPECT_EQ(space->state().root, before.root);
  EXPECT_EQ(space->state().tables_used, before.tables_used);
  EXPECT_EQ(space->state().frames_used, 0u);
}

TEST_F(AddressSpaceTest, RangesThatLeaveTheirZoneOrWrapAreRefused) {
  const uint64_t lengths[] = {0, 1, kPageSize - 1, kPageSize + 1};
  const uint64_t last = abi::kMapped.end() - kPageSize;
  for (const RangeOp op :
       {RangeOp::kAnonymous, RangeOp::kShared, RangeOp::kProtect, RangeOp::kUnmap}) {
    for (const uint64_t length : lengths) {
      EXPECT_EQ(Apply(op, kRead, kVa, length, kPackGpa), -EINVAL) << length;
    }
    EXPECT_EQ(Apply(op, kRead, kVa + 1, kPageSize, kPackGpa), -EINVAL);
    EXPECT_EQ(Apply(op, kRead, kVa, kPageSize, kPackGpa + 1), -EINVAL);
    EXPECT_EQ(Apply(op, 8, kVa, kPageSize, kPackGpa), -EINVAL);
    EXPECT_EQ(Apply(op, ~0u, kVa, kPageSize, kPackGpa), -EINVAL);
    EXPECT_EQ(Apply(op, kRead, last, 2 * kPageSize, kPackGpa), -EINVAL);
    EXPECT_EQ(Apply(op, kRead, kVa, 0 - kVa, kPackGpa), -EINVAL);
    EXPECT_EQ(Apply(op, kRead, kVa, ~0ull << 12, kPackGpa), -EINVAL);
  }
  const uint64_t heap_end = abi::kRam.base + config.ram_size;
  EXPECT_EQ(Apply(RangeOp::kProtect, kRead, heap_end - kPageSize, 2 * kPageSize), -EINVAL);
  EXPECT_EQ(Apply(RangeOp::kProtect, kRead, abi::kHeapBase - kPageSize, 2 * kPageSize), -EINVAL);
  EXPECT_EQ(Apply(static_cast<RangeOp>(0), kRead, kVa, kPageSize), -EINVAL);
  EXPECT_EQ(Apply(static_cast<RangeOp>(5), kRead, kVa, kPageSize), -EINVAL);
}

TEST_F(AddressSpaceTest, OnlyPacksAndRegionsAreShared) {
  const struct {
    uint64_t gpa, length;
  } sources[] = {
      {abi::kTables.base, kPageSize},
      {abi::kTableArena.base, kPageSize},
      {abi::kControl.base, kPageSize},
      {abi::kKernelImage.base, kPageSize},
      {abi::kHeapBase, kPageSize},
      {abi::kFrames.base, kPageSize},
      {abi::kHostRegion.base + kRegion, kPageSize},
      {abi::kHostRegion.base + kRegion - kPageSize, 2 * kPageSize},
      {abi::kHostRegion.base - kPageSize, 2 * kPageSize},
      {abi::kGuestRegion.base + kRegion, kPageSize},
      {abi::kGuestRegion.base + kRegion - kPageSize, 2 * kPageSize},
      {kPackGpa + kPack, kPageSize},
      {kPackGpa, kPack + kPageSize},
      {abi::kImagePacks.base, kPageSize},  // no image is mapped
      {~0ull - kPageSize + 1, 2 * kPageSize},
      {0, kPageSize},
  };
  for (const auto& source : sources) {
    for (const uint32_t protection : {kRead, kReadWrite, kReadExec}) {
      EXPECT_EQ(Apply(RangeOp::kShared, protection, kVa, source.length, source.gpa), -EINVAL)
          << std::hex << source.gpa;
    }
  }
  EXPECT_EQ(Entry(kVa), 0u);
  EXPECT_EQ(Apply(RangeOp::kShared, kReadExec, kVa, kPack, kPackGpa), 0);
  EXPECT_EQ(PageAt(kVa + kPack - kPageSize), kPackGpa + kPack - kPageSize);
}

TEST_F(AddressSpaceTest, WhatIsThereIsNotMappedOver) {
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa + kPageSize, kPageSize), 0);
  const uint64_t page = PageAt(kVa + kPageSize);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kReadExec, kVa + kPageSize, kPageSize), -EEXIST);
  EXPECT_EQ(Apply(RangeOp::kShared, kReadExec, kVa, kPack, kPackGpa), -EEXIST);
  EXPECT_EQ(Entry(kVa), 0u);
  EXPECT_EQ(PageAt(kVa + kPageSize), page);
}

TEST_F(AddressSpaceTest, AFrameHasOneMappingAndComesBackEmpty) {
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadWrite, kVa, 2 * kPageSize), 0);
  const uint64_t frame = PageAt(kVa);
  EXPECT_NE(frame, PageAt(kVa + kPageSize));
  uint8_t* bytes = memory->frames() + (frame - abi::kFrames.base);
  bytes[0] = bytes[kPageSize - 1] = 0x90;
  ASSERT_EQ(Apply(RangeOp::kUnmap, 0, kVa, kPageSize), 0);
  EXPECT_TRUE(switched);
  EXPECT_EQ(Entry(kVa), 0u);
  ASSERT_EQ(Apply(RangeOp::kUnmap, 0, kVa, kPageSize), 0);  // no second time for the frame
  ASSERT_EQ(Apply(RangeOp::kAnonymous, kReadExec, kVa + 8 * kPageSize, 2 * kPageSize), 0);
  EXPECT_EQ(PageAt(kVa + 8 * kPageSize), frame);
  EXPECT_NE(PageAt(kVa + 9 * kPageSize), frame);
  EXPECT_EQ(bytes[0] | bytes[kPageSize - 1], 0);
}

TEST_F(AddressSpaceTest, FramesAreBounded) {
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kRead, kVa, abi::kMapped.size), -ENOMEM);
  EXPECT_EQ(space->state().frames_used, 0u);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kRead, kVa, config.frames_limit), 0);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kRead, abi::kLowMapped.base, kPageSize), -ENOMEM);
  // What is unmapped can be had again.
  EXPECT_EQ(Apply(RangeOp::kUnmap, 0, kVa, kPageSize), 0);
  EXPECT_EQ(Apply(RangeOp::kAnonymous, kRead, abi::kLowMapped.base, kPageSize), 0);
}

TEST_F(AddressSpaceTest, ABatchEndsAtItsFirstError) {
  const std::vector<RangeRequest> requests = {
      {RangeOp::kAnonymous, kRead, kVa, kPageSize, 0},
      {RangeOp::kAnonymous, kReadWrite | abi::kProtExec, kVa + kPageSize, kPageSize, 0},
      {RangeOp::kAnonymous, kRead, kVa + 2 * kPageSize, kPageSize, 0}};
  EXPECT_EQ(space->Apply(requests, &switched), -EACCES);
  EXPECT_NE(Entry(kVa), 0u);
  EXPECT_EQ(Entry(kVa + kPageSize), 0u);
  EXPECT_EQ(Entry(kVa + 2 * kPageSize), 0u);
}

TEST_F(AddressSpaceTest, TablesOfTheHostAreReachedByNobody) {
  EXPECT_EQ(Entry(abi::kTableArena.base), 0u);
  EXPECT_EQ(Entry(abi::kTables.base) & (x86::kUser | x86::kWritable), 0u);
  EXPECT_EQ(Entry(abi::kControl.base) & x86::kWritable, 0u);
  EXPECT_TRUE(Writable(abi::kControl.base + abi::kGuestPageOffset));
  EXPECT_EQ(Entry(abi::kFrames.base), 0u);
  ExpectNoWritableCode();
}

}  // namespace
}  // namespace usetl
