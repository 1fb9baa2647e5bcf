// root.h: the one file system of the USF, the current directory, and devices.
#ifndef USETL_GUEST_KERNEL_FS_ROOT_H_
#define USETL_GUEST_KERNEL_FS_ROOT_H_

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

void InitRoot();

// Opens a program for reading; `path` is kernel memory. 0 or -errno (-EACCES without an x bit).
int64_t OpenForExec(const char* path, File** file);

// A device by its name below /dev. 0 or -ENOENT.
int64_t OpenDevice(const char* name, int flags, File** file);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_ROOT_H_
