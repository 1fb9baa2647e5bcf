#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/thread.h"
#include "guest/kernel/thread/timer.h"

extern "C" {
uint64_t g_kernel_stack_top;  // read by entry.S
void SwitchStacks(uint64_t* save, uint64_t stack);
void trap_return();
}

namespace usetl::kernel {

Thread* g_current = nullptr;
Thread* g_threads = nullptr;
uint32_t g_thread_count = 0;

namespace {

constexpr uint64_t kVectorMask = 0xe7;  // x87, SSE, AVX, AVX-512
constexpr uint64_t kVectorPages = 1;    // 2.7 kB with AVX-512

Thread* g_runnable_head = nullptr;
Thread* g_runnable_tail = nullptr;
uint64_t g_runnable_count = 0;
Thread* g_dead = nullptr;  // its stack is freed by whoever runs next
int g_next_tid = 1;

void Enqueue(Thread* thread) {
  thread->next_runnable = nullptr;
  (g_runnable_tail != nullptr ? g_runnable_tail->next_runnable : g_runnable_head) = thread;
  g_runnable_tail = thread;
  guest_page().runnable = ++g_runnable_count;
}

Thread* Dequeue() {
  Thread* thread = g_runnable_head;
  if (thread == nullptr) return nullptr;
  g_runnable_head = thread->next_runnable;
  if (g_runnable_head == nullptr) g_runnable_tail = nullptr;
  guest_page().runnable = --g_runnable_count;
  return thread;
}

// Wakes timed sleepers whose time has come; returns the next deadline.
uint64_t ExpireSleepers(uint64_t now) {
  uint64_t next = kNever;
  for (Thread* thread = g_threads; thread != nullptr; thread = thread->next) {
    if (thread->state != ThreadState::kSleeping || thread->deadline == kNever) continue;
    if (thread->deadline <= now) {
      WakeThread(thread, WakeReason::kTimeout);
    } else if (thread->deadline < next) {
      next = thread->deadline;
    }
  }
  return next;
}

void SaveVectors(uint8_t* area) {
  asm volatile("xsave64 (%0)" : : "r"(area), "a"(kVectorMask), "d"(0) : "memory");
}
void RestoreVectors(const uint8_t* area) {
  asm volatile("xrstor64 (%0)" : : "r"(area), "a"(kVectorMask), "d"(0) : "memory");
}

void FreeThread(Thread* thread) {
  FreePages(thread->kernel_stack, kKernelStackPages);
  FreePages(thread->vector_state, kVectorPages);
  Delete(thread);
}

void SwitchTo(Thread* next) {
  Thread* previous = g_current;
  const uint64_t now = Monotonic();
  previous->cpu_ns += now - previous->run_since;
  next->run_since = now;
  if (previous == next) return;
  asm volatile("rdfsbase %0" : "=r"(previous->fs_base));
  asm volatile("rdgsbase %0" : "=r"(previous->gs_base));
  if (previous->state != ThreadState::kDead) SaveVectors(previous->vector_state);
  g_current = next;
  g_kernel_stack_top = next->stack_top();
  asm volatile("wrfsbase %0" : : "r"(next->fs_base));
  asm volatile("wrgsbase %0" : : "r"(next->gs_base));
  RestoreVectors(next->vector_state);
  UpdateExitWork();
  SwitchStacks(&previous->saved_stack, next->saved_stack);
  if (g_dead != nullptr) {
    FreeThread(g_dead);
    g_dead = nullptr;
  }
}

// Picks who runs next; idles in the host while nobody can.
void Schedule() {
  for (;;) {
    PollMailbox();
    const uint64_t now = Monotonic();
    const uint64_t timer = ExpireTimers(now);
    const uint64_t sleeper = ExpireSleepers(now);
    const uint64_t deadline = timer < sleeper ? timer : sleeper;
    guest_page().next_deadline = deadline;
    if (Thread* next = Dequeue()) {
      SwitchTo(next);
      return;
    }
    Idle(deadline);
    g_current->run_since += Monotonic() - now;  // nobody ran: no CPU time of whoever ran last
  }
}

// First code of a new thread: SwitchStacks returns here, with the frame above.
asm(R"(
.text
NewThreadEntry:
  call FinishSwitch
  jmp trap_return
)");
extern "C" void NewThreadEntry();
extern "C" void FinishSwitch() {
  if (g_dead != nullptr) {
    FreeThread(g_dead);
    g_dead = nullptr;
  }
}

}  // namespace

Waiter::~Waiter() {
  if (queue != nullptr) queue->Remove(this);
}

WaitQueue::~WaitQueue() {
  while (head_ != nullptr) {
    Waiter* waiter = head_;
    Remove(waiter);
    waiter->woken = true;
    if (waiter->notify == nullptr) WakeThread(waiter->thread, WakeReason::kWoken);
  }
}

void WaitQueue::Add(Waiter* waiter) {
  waiter->queue = this;
  waiter->next = nullptr;
  waiter->previous = tail_;
  (tail_ != nullptr ? tail_->next : head_) = waiter;
  tail_ = waiter;
}

void WaitQueue::Remove(Waiter* waiter) {
  (waiter->previous != nullptr ? waiter->previous->next : head_) = waiter->next;
  (waiter->next != nullptr ? waiter->next->previous : tail_) = waiter->previous;
  waiter->queue = nullptr;
}

uint32_t WaitQueue::Wake(uint32_t count) {
  uint32_t woken = 0;
  for (Waiter* waiter = head_; waiter != nullptr && woken < count;) {
    Waiter* next = waiter->next;
    if (waiter->notify != nullptr) {
      waiter->notify(waiter);
    } else if (!waiter->woken) {
      waiter->woken = true;
      WakeThread(waiter->thread, WakeReason::kWoken);
      ++woken;
    }
    waiter = next;
  }
  return woken;
}

void WakeThread(Thread* thread, WakeReason reason) {
  if (thread->state != ThreadState::kSleeping) return;
  thread->state = ThreadState::kRunnable;
  thread->wake_reason = reason;
  Enqueue(thread);
}

WakeReason Sleep(uint64_t deadline, bool interruptible) {
  Thread* self = g_current;
  if (interruptible && SignalDeliverable(*self)) return WakeReason::kSignal;
  self->deadline = deadline;
  self->interruptible = interruptible;
  self->state = ThreadState::kSleeping;
  Schedule();
  self->deadline = kNever;
  return self->wake_reason;
}

void Yield() {
  Enqueue(g_current);
  Schedule();
}

Thread* CreateThread(const TrapFrame& frame, uint64_t fs_base) {
  Thread* thread = New<Thread>();
  if (thread == nullptr) return nullptr;
  thread->kernel_stack = static_cast<uint8_t*>(AllocatePages(kKernelStackPages));
  thread->vector_state = static_cast<uint8_t*>(AllocatePages(kVectorPages));
  if (thread->kernel_stack == nullptr || thread->vector_state == nullptr) {
    if (thread->kernel_stack != nullptr) FreePages(thread->kernel_stack, kKernelStackPages);
    if (thread->vector_state != nullptr) FreePages(thread->vector_state, kVectorPages);
    Delete(thread);
    return nullptr;
  }
  SaveVectors(thread->vector_state);  // as Linux: a new thread inherits its creator's
  thread->fs_base = fs_base;
  thread->tid = g_next_tid++;
  *thread->frame() = frame;
  // What SwitchStacks pops: six registers, then the return address.
  auto* stack = reinterpret_cast<uint64_t*>(thread->frame());
  *--stack = reinterpret_cast<uint64_t>(&NewThreadEntry);
  stack -= 6;
  thread->saved_stack = reinterpret_cast<uint64_t>(stack);
  thread->next = g_threads;
  if (g_threads != nullptr) g_threads->previous = thread;
  g_threads = thread;
  ++g_thread_count;
  Enqueue(thread);
  return thread;
}

void ExitThread() {
  Thread* self = g_current;
  (self->previous != nullptr ? self->previous->next : g_threads) = self->next;
  if (self->next != nullptr) self->next->previous = self->previous;
  --g_thread_count;
  self->state = ThreadState::kDead;
  g_dead = self;
  Schedule();
  __builtin_unreachable();
}

void ForgetOtherThreads() {
  for (Thread* thread = g_threads; thread != nullptr; thread = thread->next) {
    if (thread == g_current) continue;
    thread->state = ThreadState::kDead;
  }
  const bool listed = g_current->tid != 0;  // not the boot stack
  g_threads = listed ? g_current : nullptr;
  g_thread_count = listed ? 1 : 0;
  g_current->next = g_current->previous = nullptr;
  g_runnable_head = g_runnable_tail = g_dead = nullptr;
  guest_page().runnable = g_runnable_count = 0;
}

Thread* FindThread(int tid) {
  for (Thread* thread = g_threads; thread != nullptr; thread = thread->next) {
    if (thread->tid == tid) return thread;
  }
  return nullptr;
}

uint64_t CpuTime(const Thread& thread) {
  return thread.cpu_ns + (&thread == g_current ? Monotonic() - thread.run_since : 0);
}

}  // namespace usetl::kernel
