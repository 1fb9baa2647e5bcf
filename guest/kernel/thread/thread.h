// thread.h: threads of the application, cooperative on one vCPU.
//
// A thread gives up the vCPU only inside Sleep, Yield or ExitThread, so kernel code between them is
// atomic. Vector registers belong to the application and are saved at a switch only.
#ifndef USETL_GUEST_KERNEL_THREAD_THREAD_H_
#define USETL_GUEST_KERNEL_THREAD_THREAD_H_

#include <cstddef>
#include <cstdint>

#include "guest/kernel/entry/trap_frame.h"
#include "guest/kernel/host/clock.h"

namespace usetl::kernel {

inline constexpr uint64_t kKernelStackPages = 8;  // path buffers are 4 kB each
inline constexpr uint64_t kKernelStackSize = kKernelStackPages * 4096;

enum class ThreadState : uint8_t { kRunnable, kSleeping, kDead };
enum class WakeReason : uint8_t { kWoken, kTimeout, kSignal };

class FileRef;  // file/descriptors.h

struct SignalStack {
  uint64_t base = 0;
  uint32_t flags = 2;  // SS_DISABLE
  uint64_t size = 0;
};

struct Thread {
  uint64_t saved_stack = 0;  // kernel RSP while switched out
  uint8_t* kernel_stack = nullptr;
  uint8_t* vector_state = nullptr;  // XSAVE area, 64-byte aligned
  uint64_t fs_base = 0;
  uint64_t gs_base = 0;
  int tid = 0;
  ThreadState state = ThreadState::kRunnable;
  bool interruptible = false;
  WakeReason wake_reason = WakeReason::kWoken;
  uint64_t deadline = kNever;
  uint64_t signal_mask = 0;
  uint64_t saved_mask = 0;  // of sigsuspend, ppoll, ...: restored after the handler
  bool restore_mask = false;
  uint64_t pending_signals = 0;  // bit n-1: signal n
  SignalStack signal_stack;
  uint32_t* clear_tid = nullptr;  // CLONE_CHILD_CLEARTID, application memory
  uint64_t cpu_ns = 0;            // until the last switch
  uint64_t run_since = 0;
  FileRef* held = nullptr;  // files that its system call works with
  char name[16] = {};
  Thread* next_runnable = nullptr;
  Thread* next = nullptr;  // all threads
  Thread* previous = nullptr;

  uint64_t stack_top() const { return reinterpret_cast<uint64_t>(kernel_stack) + kKernelStackSize; }
  // The application's registers while the thread is in a system call.
  TrapFrame* frame() const { return reinterpret_cast<TrapFrame*>(stack_top()) - 1; }
};

extern Thread* g_current;
extern Thread* g_threads;  // all that live
extern uint32_t g_thread_count;

// A sleeping thread's place in a queue. Lives on the sleeper's stack.
class WaitQueue;
struct Waiter {
  explicit Waiter(Thread* sleeper) : thread(sleeper) {}
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  Thread* thread;
  WaitQueue* queue = nullptr;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;
  uint64_t key = 0;  // futex: address; others unused
  uint32_t bits = ~0u;
  bool woken = false;
  // Called instead of waking the thread, when set (epoll).
  void (*notify)(Waiter*) = nullptr;
};

class WaitQueue {
 public:
  WaitQueue() = default;
  ~WaitQueue();
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  void Add(Waiter* waiter);
  void Remove(Waiter* waiter);
  // Wakes up to `count` waiters, oldest first; returns how many.
  uint32_t Wake(uint32_t count = ~0u);
  // Of waiters whose threads are forgotten.
  void Forget() { head_ = tail_ = nullptr; }
  bool empty() const { return head_ == nullptr; }
  Waiter* first() const { return head_; }

 private:
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

void WakeThread(Thread* thread, WakeReason reason);

// Puts the current thread to sleep until a waiter of it is woken, `deadline` passes or, when
// `interruptible`, a signal that it does not block arrives.
WakeReason Sleep(uint64_t deadline, bool interruptible);
// Lets other runnable threads run.
void Yield();

// A new thread that starts with `frame`; null when out of memory.
Thread* CreateThread(const TrapFrame& frame, uint64_t fs_base);
[[noreturn]] void ExitThread();
// Before another program starts: no thread but the current one runs ever again. What they waited
// for still names them, and their stacks stay.
void ForgetOtherThreads();
Thread* FindThread(int tid);

// CPU time of a thread up to now, ns.
uint64_t CpuTime(const Thread& thread);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_THREAD_THREAD_H_
