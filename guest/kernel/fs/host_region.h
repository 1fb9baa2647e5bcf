// host_region.h: files that the host put into the host region. Its table is hostile.
#ifndef USETL_GUEST_KERNEL_FS_HOST_REGION_H_
#define USETL_GUEST_KERNEL_FS_HOST_REGION_H_

#include "guest/kernel/fs/inode.h"

namespace usetl::kernel {

// Takes new named files into the tree when the table says that there are any.
void RefreshHostRegion();
// A nameless entry (a response body) as a fresh inode; null: no such entry, or out of memory.
Inode* BodyInode(uint32_t entry);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_HOST_REGION_H_
