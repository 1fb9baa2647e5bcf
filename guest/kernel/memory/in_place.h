// in_place.h: files of the guest region that are mapped where they lie.
//
// Such a mapping needs no area and no page table, but the file must stay there as long as it is
// mapped, open or not.
#ifndef USETL_GUEST_KERNEL_MEMORY_IN_PLACE_H_
#define USETL_GUEST_KERNEL_MEMORY_IN_PLACE_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

// Takes a reference and pins the file. False: out of memory.
bool AddInPlace(uint64_t begin, uint64_t end, File* file);
// Of one mapping; others may be of the same place. 0 or -ENOMEM (it would fall apart).
int64_t RemoveInPlace(uint64_t begin, uint64_t end);
// All of them; not `release`: files are forgotten, not closed.
void ResetInPlace(bool release);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_IN_PLACE_H_
