// guest_region.h: storage for files that the guest makes: the guest region and its offset table.
//
// One contiguous range per file. The table is written for the host (vmm/abi/file_table.h); the
// kernel never reads back what it put there.
#ifndef USETL_GUEST_KERNEL_FS_GUEST_REGION_H_
#define USETL_GUEST_KERNEL_FS_GUEST_REGION_H_

#include <cstdint>

#include "vmm/abi/file_table.h"

namespace usetl::kernel {

// REQUIRES: the region's memory is zero. Also after a restore, when no file is there.
void FormatGuestRegion();

// A range of `bytes` (page multiple) as an offset within the region, zeroed; 0 when it is full.
uint64_t AllocateRange(uint64_t bytes);
// Grows a range in place. False: what follows is in use.
bool ExtendRange(uint64_t offset, uint64_t bytes, uint64_t more);
void FreeRange(uint64_t offset, uint64_t bytes);

uint8_t* GuestRegionAt(uint64_t offset);
uint64_t GuestRegionFree();
uint64_t GuestRegionTotal();

// A slot of the table, or -1 when all are used.
int32_t TakeSlot();
void FreeSlot(int32_t slot);
// Publishes an entry; `path` is absolute, or empty for a file without a name.
void PublishSlot(int32_t slot, const abi::FileEntry& entry, const char* path);
// The same, keeping the name that is published.
void UpdateSlot(int32_t slot, const abi::FileEntry& entry);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_GUEST_REGION_H_
