#include "vmm/proxy/region/guest_region_view.h"

#include <cstring>
#include <string>

namespace usetl {

Result<std::span<const uint8_t>> GuestRegionView::Span(uint64_t offset, uint64_t size) const {
  if (offset > size_ || size > size_ - offset) {
    return Status(ERANGE, "a range beyond the guest region");
  }
  return std::span<const uint8_t>(base_ + offset, size);
}

bool GuestRegionView::CopyEntry(const abi::FileEntry* from, abi::FileEntry* entry) const {
  constexpr int kTries = 64;  // the guest must not keep the worker here
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = __atomic_load_n(&from->sequence, __ATOMIC_ACQUIRE);
    if (before % 2 != 0) continue;
    std::memcpy(entry, from, sizeof *entry);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&from->sequence, __ATOMIC_RELAXED) == before) return true;
  }
  return false;
}

Result<std::span<const uint8_t>> GuestRegionView::FindFile(std::string_view path) const {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  const std::string name(path);
  const Status broken(EPROTO, "the guest region's table is broken");
  if (size_ < sizeof(abi::FileTable)) return broken;
  const auto* table = reinterpret_cast<const abi::FileTable*>(base_);
  if (__atomic_load_n(&table->magic, __ATOMIC_ACQUIRE) != abi::kFileTableMagic) return broken;
  const uint64_t data_base = __atomic_load_n(&table->data_base, __ATOMIC_RELAXED);
  const uint32_t used = __atomic_load_n(&table->used, __ATOMIC_ACQUIRE);
  if (data_base < sizeof *table || data_base > size_ || used > abi::kMaxEntries ||
      used > (data_base - sizeof *table) / sizeof(abi::FileEntry)) {
    return broken;
  }
  bool unstable = false;
  for (uint32_t i = 0; i < used; ++i) {
    abi::FileEntry entry;
    if (!CopyEntry(&table->entries[i], &entry)) {
      unstable = true;
      continue;
    }
    if (entry.type != abi::FileType::kRegular || entry.name_size != name.size()) continue;
    if (!abi::CheckEntry(entry, data_base, size_)) return broken;
    if (std::memcmp(base_ + entry.name_offset, name.data(), name.size()) != 0) continue;
    return std::span<const uint8_t>(base_ + (entry.size == 0 ? 0 : entry.offset), entry.size);
  }
  if (unstable) return Status(EAGAIN, "the guest region's table does not hold still");
  return Status(ENOENT, "/" + name + ": not in the guest region");
}

}  // namespace usetl
