// process_directory.h: /proc, as far as programs of a function look at it.
#ifndef USETL_GUEST_KERNEL_FS_PROCESS_DIRECTORY_H_
#define USETL_GUEST_KERNEL_FS_PROCESS_DIRECTORY_H_

#include "guest/kernel/fs/path.h"

namespace usetl::kernel {

SpecialDirectory* ProcessDirectory();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_PROCESS_DIRECTORY_H_
