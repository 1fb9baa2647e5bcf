// timer_file.h: timerfd(2).
#ifndef USETL_GUEST_KERNEL_FILE_TIMER_FILE_H_
#define USETL_GUEST_KERNEL_FILE_TIMER_FILE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/linux/abi.h"

namespace usetl::kernel {

File* CreateTimerFile(bool realtime, uint32_t status_flags);  // null: out of memory

// -EINVAL when `file` is no timer. `old` may be null.
int64_t SetTimerFile(File* file, bool absolute, const TimerSpec& spec, TimerSpec* old);
int64_t GetTimerFile(File* file, TimerSpec* spec);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_TIMER_FILE_H_
