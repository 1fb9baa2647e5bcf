// output.h: stdout and stderr: frames in the output ring.
#ifndef USETL_GUEST_KERNEL_FILE_OUTPUT_H_
#define USETL_GUEST_KERNEL_FILE_OUTPUT_H_

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

// `stream` is 1 or 2. Null: out of memory.
File* CreateOutput(int stream);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_OUTPUT_H_
