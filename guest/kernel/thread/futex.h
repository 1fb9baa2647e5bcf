// futex.h: futex(2) without priority inheritance. Addresses are the keys: there is one address
// space.
#ifndef USETL_GUEST_KERNEL_THREAD_FUTEX_H_
#define USETL_GUEST_KERNEL_THREAD_FUTEX_H_

#include <cstdint>

namespace usetl::kernel {

// Sleeps while *address == expected. 0, -EAGAIN, -ETIMEDOUT, -EINTR, -EFAULT, -EINVAL.
int64_t FutexWait(uint32_t* address, uint32_t expected, uint64_t deadline, uint32_t bits);
// Wakes up to `count`; returns how many.
int64_t FutexWake(uint32_t* address, uint32_t count, uint32_t bits);
// Wakes `wake`, moves up to `move` others to `target`; returns how many were woken or moved.
// Nobody waits any more (ForgetOtherThreads).
void ForgetFutexes();
int64_t FutexRequeue(uint32_t* address, uint32_t wake, uint32_t* target, uint32_t move);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_THREAD_FUTEX_H_
