// guest_memory.h: host memory behind the guest-physical map, and the only way to reach it.
#ifndef USETL_VMM_USF_GUEST_MEMORY_H_
#define USETL_VMM_USF_GUEST_MEMORY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/abi/control.h"
#include "vmm/base/fd.h"
#include "vmm/platform/machine.h"

namespace usetl {

// Numbers of KVM's memory slots.
enum SlotNumber : uint32_t {
  kTablesSlot = 0,
  kRamSlot = 1,
  kFramesSlot = 2,
  kControlSlot = 3,
  kHostRegionSlot = 4,
  kGuestRegionSlot = 5,
  kFirstPackSlot = 8,
  kFirstImageSlot = 48,
  kFirstGrowthSlot = 64,
};

// Files and sizes that make up a USF's memory. Descriptors stay the caller's.
struct MemoryConfig {
  int control_fd = -1;  // abi::kControl.size bytes
  int host_region_fd = -1;
  int guest_region_fd = -1;
  uint64_t host_region_size = 0;
  uint64_t guest_region_size = 0;
  uint64_t ram_size = abi::kRamAtBirth;
  uint64_t ram_limit = 256 << 20;   // after growth
  uint64_t frames_size = 64 << 20;  // at birth
  uint64_t frames_limit = 512 << 20;
  struct Pack {
    int fd;
    uint64_t size;
  };
  std::vector<Pack> packs;
};

class GuestMemory {
 public:
  // Maps everything and makes the slots; RAM, frames and tables are zero.
  static Result<GuestMemory> Create(const MemoryConfig& config, Machine* machine);

  // The bytes [gpa, gpa+size) of RAM, frames or tables; nothing when they are not all there.
  std::optional<std::span<uint8_t>> Span(abi::Gpa gpa, uint64_t size) const;

  uint8_t* tables() const { return tables_.data(); }
  uint8_t* ram() const { return ram_.data(); }
  uint8_t* frames() const { return frames_.data(); }
  abi::HostPage& host_page() const;
  abi::GuestPage& guest_page() const;
  const uint8_t* host_region() const { return host_region_.data(); }
  uint8_t* guest_region() const { return guest_region_.data(); }
  uint8_t* control() const { return control_.data(); }
  const std::vector<abi::Window>& packs() const { return pack_windows_; }
  const std::vector<abi::Window>& image_packs() const { return image_windows_; }
  const MemoryConfig& config() const { return config_; }

  // Puts the layers of an image, lowest first, into abi::kImagePacks, where nothing is. E2BIG: they
  // are too large or too many. After an error the USF can only be
  // thrown away. Descriptors may be closed afterwards.
  Status MapImagePacks(const std::vector<MemoryConfig::Pack>& packs, Machine* machine);
  // Takes them away; the guest finds nothing there any more.
  Status UnmapImagePacks();

  // Has the platform forget what it derived from the page tables.
  Status RenewTables(Machine* machine);

  // Puts another region of the same size in the place of the host region, where the guest can read
  // it.
  Status ReplaceHostRegion(int fd);

  uint64_t ram_size() const { return ram_size_; }
  uint64_t frames_size() const { return frames_size_; }
  // Adds RAM or frames up to `size` bytes in all; a slot each time. The USF is retired after use.
  Status GrowRam(uint64_t size, Machine* machine);
  // Gives the memory behind these bytes of RAM back: it is fresh and zero when it is touched again.
  Status ReleaseRam(uint64_t begin, uint64_t end);
  Status GrowFrames(uint64_t size, Machine* machine);
  bool grown() const { return next_growth_slot_ != kFirstGrowthSlot || image_slots_ > kKeptSlots; }

 private:
  // What KVM keeps for a slot is 2.5 MB per GB, as long as the USF lives.
  static constexpr uint64_t kFirstSlot = 4 << 20;  // most images fit
  static constexpr uint64_t kKeptSlots = 256 << 20;

  // Slots for the first `size` bytes of abi::kImagePacks.
  Status ExtendImageSlots(uint64_t size, Machine* machine);
  Status Grow(const abi::Window& window, uint8_t* base, uint64_t* size, uint64_t wanted,
              uint64_t limit, Machine* machine);

  MemoryConfig config_;
  Mapping tables_, ram_, frames_, control_, host_region_, guest_region_;
  std::vector<Mapping> packs_;
  std::vector<abi::Window> pack_windows_;
  Mapping image_;
  std::vector<abi::Window> image_windows_;
  uint64_t image_slots_ = 0;  // bytes of the window that slots cover
  uint32_t next_image_slot_ = kFirstImageSlot;
  uint64_t ram_size_ = 0;
  uint64_t frames_size_ = 0;
  uint32_t next_growth_slot_ = kFirstGrowthSlot;
};

}  // namespace usetl

#endif  // USETL_VMM_USF_GUEST_MEMORY_H_
