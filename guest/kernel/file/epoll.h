// epoll.h: epoll(7), and waiting on several files for poll(2) and select(2).
#ifndef USETL_GUEST_KERNEL_FILE_EPOLL_H_
#define USETL_GUEST_KERNEL_FILE_EPOLL_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/linux/abi.h"

namespace usetl::kernel {

File* CreateEpoll();  // null: out of memory

// As epoll_ctl(2). `event` is kernel memory; unused for deletion.
int64_t ControlEpoll(File* epoll, int operation, int fd, const EpollEvent& event);
// As epoll_wait(2); `user_events` is application memory. `deadline` in monotonic ns.
int64_t WaitEpoll(File* epoll, EpollEvent* user_events, int most, uint64_t deadline);

// Waits until one of `fds` (kernel memory) is ready; fills revents. Number of ready ones or -errno.
int64_t PollFiles(PollFd* fds, uint32_t count, uint64_t deadline);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_EPOLL_H_
