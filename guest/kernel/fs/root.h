// root.h: the one file system of the USF and the current directory.
#ifndef USETL_GUEST_KERNEL_FS_ROOT_H_
#define USETL_GUEST_KERNEL_FS_ROOT_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/node.h"

namespace usetl::kernel {

// Puts packs, regions, /dev, /proc and /run/usetl/body together.
void InitRoot();

// The current directory.
Node* CurrentDirectory();
void SetCurrentDirectory(Node* node);

// Opens a program for reading; `path` is kernel memory. 0 or -errno: -EACCES
// without an x bit, and for what is no file.
int64_t OpenForExec(const char* path, File** file);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_ROOT_H_
