// layout.h: the guest-physical map and the zones of guest-virtual addresses.
//
// Host and guest compile this file. It needs nothing but freestanding headers. Unless a zone says
// otherwise, a guest-virtual address equals the guest-physical one. README.md draws the map.
#ifndef USETL_VMM_ABI_LAYOUT_H_
#define USETL_VMM_ABI_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace usetl::abi {

// Raise whenever a structure or an address of vmm/abi changes meaning: a snapshot made under
// another version is refused, and the guest kernel stops at boot when it was built for another.
inline constexpr uint32_t kAbiVersion = 7;

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kHugePageSize = 2 << 20;

// A guest-physical address. The host cannot dereference it: GuestMemory::Span() translates.
enum class Gpa : uint64_t {};
constexpr uint64_t Raw(Gpa gpa) { return static_cast<uint64_t>(gpa); }

struct Window {
  uint64_t base;  // first byte, page aligned
  uint64_t size;  // bytes, page multiple
  constexpr uint64_t end() const { return base + size; }
  constexpr bool Contains(uint64_t address, uint64_t length) const {
    return address >= base && length <= size && address - base <= size - length;
  }
};

// Tables: written by the host alone. GDT, IDT and TSS are mapped for the supervisor only, the
// page-table arena is not mapped at all.
inline constexpr Window kTables{0x1'0000, 0x20'0000};
inline constexpr uint64_t kGdt = kTables.base;
inline constexpr uint64_t kIdt = kTables.base + 0x1000;
inline constexpr uint64_t kTss = kTables.base + 0x2000;  // with the I/O bitmap: three pages
inline constexpr uint64_t kTssSize = 0x3000;
inline constexpr Window kTableArena{kTables.base + 0x1'0000, kTables.size - 0x1'0000};

// Control: mailbox rings, clock, entropy. See control.h for its inside.
inline constexpr Window kControl{0x3000'0000, 0x10'0000};

// RAM: the kernel image, the kernel's own pages, then the heap of the application (zone A: brk and
// anonymous mmap, read-write, never executable, always present).
inline constexpr Window kRam{0x4000'0000, 0x1'0000'0000};  // the most a USF can have
inline constexpr uint64_t kRamAtBirth = 64 << 20;          // what each has, so the least limit
inline constexpr Window kKernelImage{kRam.base, 0x10'0000};
inline constexpr Window kKernelPages{kKernelImage.end(), 0xf0'0000};
inline constexpr uint64_t kHeapBase = kKernelPages.end();

// Frames: pages that the host places behind addresses of zone C. Never mapped at their own address,
// so a page that is executable there has no writable alias.
inline constexpr Window kFrames{0x10'0000'0000, 0x4'0000'0000};

// Regions of the shared file system, and the packs (zone B), each pack on a 2 MB boundary.
inline constexpr Window kHostRegion{0x20'0000'0000, 0x8'0000'0000};
inline constexpr Window kGuestRegion{0x30'0000'0000, 0x8'0000'0000};
inline constexpr Window kPacks{0x40'0000'0000, 0x10'0000'0000};
// The end of zone B: layers of a function's image, put there for one run. The tables have all of it
// at all times, most of the time with nothing behind.
inline constexpr Window kImagePacks{0x4f'c000'0000, 0x4000'0000};

// Zone C: virtual only. ET_EXEC programs lie in the low part, all other mappings in the high part,
// which is handed out upwards, and where it was given back once the end is reached.
inline constexpr Window kLowMapped{0x40'0000, 0x2fc0'0000};
inline constexpr Window kMapped{0x50'0000'0000, 0x2f'0000'0000};

static_assert(kTableArena.end() == kTables.end() && kTables.end() <= kLowMapped.base);
static_assert(kLowMapped.end() <= kControl.base && kControl.end() <= kRam.base);
static_assert(kControl.end() <= 0x8000'0000, "addressed by 32-bit displacements");
static_assert(kKernelImage.end() <= 0x8000'0000, "call *abs32 reaches the entry table");
static_assert(kRam.end() <= kFrames.base && kFrames.end() <= kHostRegion.base);
static_assert(kHostRegion.end() <= kGuestRegion.base && kGuestRegion.end() <= kPacks.base);
static_assert(kImagePacks.end() == kPacks.end() && kPacks.end() <= kMapped.base);
static_assert(kMapped.end() <= 0x80'0000'0000, "one PML4 entry holds everything");

// The entry table of system calls: 512 pointers at the start of the kernel image. A rewritten site
// is `call *[kSyscallEntryTable + 8 * number]`.
inline constexpr uint64_t kSyscallEntryTable = kKernelImage.base;
inline constexpr uint32_t kSyscallCount = 512;

// Doorbells: I/O ports that the TSS bitmap permits; every other port faults.
inline constexpr uint16_t kCallPort = 0x510;  // exits to usf, which serves GuestPage::call
inline constexpr uint16_t kKickPort = 0x511;  // ioeventfd: wakes the consumer of the rings to host

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_LAYOUT_H_
