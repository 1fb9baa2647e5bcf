#include "guest/kernel/thread/timer.h"

#include "guest/kernel/host/control.h"

namespace usetl::kernel {
namespace {

Timer* g_timers = nullptr;

}  // namespace

void ArmTimer(Timer* timer, uint64_t deadline, uint64_t interval) {
  timer->deadline = deadline;
  timer->interval = interval;
  // The host preempts a computing program when this passes.
  if (deadline < guest_page().next_deadline) guest_page().next_deadline = deadline;
  if (timer->listed) return;
  timer->listed = true;
  timer->previous = nullptr;
  timer->next = g_timers;
  if (g_timers != nullptr) g_timers->previous = timer;
  g_timers = timer;
}

void DisarmTimer(Timer* timer) {
  timer->deadline = kNever;
  if (!timer->listed) return;
  (timer->previous != nullptr ? timer->previous->next : g_timers) = timer->next;
  if (timer->next != nullptr) timer->next->previous = timer->previous;
  timer->listed = false;
}

void DisarmAllTimers() {
  while (g_timers != nullptr) DisarmTimer(g_timers);
}

uint64_t ExpireTimers(uint64_t now) {
  uint64_t next_deadline = kNever;
  for (Timer* timer = g_timers; timer != nullptr;) {
    Timer* next = timer->next;
    if (timer->deadline <= now) {
      uint64_t times = 1;
      if (timer->interval != 0) {
        times += (now - timer->deadline) / timer->interval;
        timer->deadline = After(timer->deadline, times * timer->interval);
      } else {
        DisarmTimer(timer);
      }
      timer->fire(timer, times);
    }
    if (timer->listed && timer->deadline < next_deadline) next_deadline = timer->deadline;
    timer = next;
  }
  return next_deadline;
}

}  // namespace usetl::kernel
