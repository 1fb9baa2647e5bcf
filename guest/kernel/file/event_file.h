// event_file.h: eventfd(2).
#ifndef USETL_GUEST_KERNEL_FILE_EVENT_FILE_H_
#define USETL_GUEST_KERNEL_FILE_EVENT_FILE_H_

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

// Null: out of memory.
File* CreateEventFile(uint64_t count, bool semaphore, uint32_t status_flags);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_EVENT_FILE_H_
