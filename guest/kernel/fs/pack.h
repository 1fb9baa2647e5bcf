// pack.h: read access to the packs of the USF. The host checked them from end to end at import.
#ifndef USETL_GUEST_KERNEL_FS_PACK_H_
#define USETL_GUEST_KERNEL_FS_PACK_H_

#include "guest/kernel/fs/inode.h"
#include "vmm/abi/pack.h"

namespace usetl::kernel {

// Of the runtime; numbers of its packs are 0 and up.
uint32_t PackCount();
// Of a function's image; their numbers follow those.
uint32_t ImagePackCount();
const abi::PackEntry& PackEntryAt(uint32_t pack, uint32_t entry);
const char* PackText(uint32_t pack, uint64_t offset);
// The entry of a child by name, or kNoEntry (node.h).
uint32_t PackChild(uint32_t pack, uint32_t directory, const char* name, uint32_t size);
// An inode whose content stays in the pack; null: out of memory.
Inode* InodeFromPack(uint32_t pack, uint32_t entry);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_PACK_H_
