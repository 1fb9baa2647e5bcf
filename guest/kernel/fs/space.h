// space.h: what statfs(2) says. Of the USF's own tree the room that the guest region has, of
// mounted directories what the host says of its file system.
#ifndef USETL_GUEST_KERNEL_FS_SPACE_H_
#define USETL_GUEST_KERNEL_FS_SPACE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/node.h"
#include "guest/kernel/linux/stat.h"

namespace usetl::kernel {

// 0 or -errno.
int64_t SpaceOfPath(Node* base, const char* path, StatFs* info);
int64_t SpaceOfFile(File* file, StatFs* info);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_SPACE_H_
