// devices.h: /dev: null, zero, full, random, and the agent's devices below /dev/usetl.
#ifndef USETL_GUEST_KERNEL_FILE_DEVICES_H_
#define USETL_GUEST_KERNEL_FILE_DEVICES_H_

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

// By the name below /dev; -ENOENT, -ENOMEM.
int64_t OpenDevice(const char* name, int flags, File** file);

// Names below /dev (`usetl` false) or /dev/usetl; null ends the list.
const char* DeviceName(bool usetl, uint32_t index);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_DEVICES_H_
