// timer.h: one-shot and periodic timers of the kernel, in monotonic nanoseconds.
#ifndef USETL_GUEST_KERNEL_THREAD_TIMER_H_
#define USETL_GUEST_KERNEL_THREAD_TIMER_H_

#include <cstdint>

#include "guest/kernel/host/clock.h"

namespace usetl::kernel {

struct Timer {
  uint64_t deadline = kNever;  // kNever: not armed
  uint64_t interval = 0;       // ns; 0: one shot
  void (*fire)(Timer* timer, uint64_t times) = nullptr;
  Timer* next = nullptr;
  Timer* previous = nullptr;
  bool listed = false;
};

void ArmTimer(Timer* timer, uint64_t deadline, uint64_t interval);
void DisarmTimer(Timer* timer);

void DisarmAllTimers();

// Fires what is due; returns the next deadline.
uint64_t ExpireTimers(uint64_t now);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_THREAD_TIMER_H_
