#include "vmm/snapshot/clone.h"

#include <bit>
#include <cstring>

namespace usetl {
namespace {

constexpr uint64_t kPage = abi::kPageSize;
constexpr uint64_t kPages = kCloneRam / kPage;
static_assert(kPages % 64 == 0 && kPages / 8 <= kPage);

// Calls `visit` with the number of each page whose bit is set.
template <typename Visit>
void ForEach(std::span<const uint64_t> bitmap, Visit visit) {
  for (size_t word = 0; word < bitmap.size(); ++word) {
    for (uint64_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
      visit(word * 64 + std::countr_zero(bits));
    }
  }
}

}  // namespace

Status WriteClone(Vm* vm, std::span<uint8_t> image, std::span<uint8_t> guest_region) {
  GuestMemory& memory = vm->memory();
  const MemoryConfig& config = memory.config();
  if (image.size() != kCloneImageSize || guest_region.size() != config.guest_region_size) {
    return Status(EINVAL, "a clone's memory has another size than its original's");
  }
  std::vector<uint64_t> log((config.ram_size / kPage + 63) / 64);
  USETL_RETURN_IF_ERROR(vm->machine().ReadDirtyLog(kRamSlot, log));
  const std::span<const uint64_t> kernel(log.data(), kPages / 64);
  std::memcpy(image.data(), kernel.data(), kernel.size_bytes());
  ForEach(kernel, [&](uint64_t page) {
    std::memcpy(image.data() + kPage + page * kPage, memory.ram() + page * kPage, kPage);
  });
  std::vector<uint64_t> written((guest_region.size() / kPage + 63) / 64);
  if (written.empty()) return Status();
  USETL_RETURN_IF_ERROR(vm->machine().ReadDirtyLog(kGuestRegionSlot, written));
  ForEach(written, [&](uint64_t page) {
    std::memcpy(guest_region.data() + page * kPage, memory.guest_region() + page * kPage, kPage);
  });
  return Status();
}

Status BecomeClone(Vm* vm, Rollback* rollback, std::span<const uint8_t> image) {
  if (image.size() != kCloneImageSize) return Status(EINVAL, "a clone's image has the wrong size");
  USETL_RETURN_IF_ERROR(rollback->RestoreRam(kPages));
  std::vector<uint64_t> pages(kPages / 64);
  std::memcpy(pages.data(), image.data(), kPages / 8);
  uint8_t* ram = vm->memory().ram();
  ForEach(pages, [&](uint64_t page) {
    std::memcpy(ram + page * kPage, image.data() + kPage + page * kPage, kPage);
  });
  return vm->StartClone();
}

}  // namespace usetl
