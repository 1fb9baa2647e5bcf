// signal.h: signals of the one process, as far as programs without a terminal need them.
#ifndef USETL_GUEST_KERNEL_SIGNAL_SIGNAL_H_
#define USETL_GUEST_KERNEL_SIGNAL_SIGNAL_H_

#include <asm/errno.h>

#include <cstdint>

#include "guest/kernel/entry/trap_frame.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

inline constexpr int kSignalCount = 64;
inline constexpr int kSigIll = 4, kSigTrap = 5, kSigAbrt = 6, kSigBus = 7, kSigFpe = 8;
inline constexpr int kSigKill = 9, kSigSegv = 11, kSigPipe = 13, kSigAlrm = 14;
inline constexpr int kSigTerm = 15, kSigChld = 17;
inline constexpr int kSigCont = 18, kSigStop = 19, kSigTstp = 20, kSigUrg = 23, kSigWinch = 28;

// Result of an interrupted system call that starts again when no handler runs or the handler has
// SA_RESTART; the application sees -EINTR otherwise.
inline constexpr int64_t kRestart = -512;

// What a signal makes of a call that waits until `deadline`: one with a time limit does not start
// again (signal(7)).
constexpr int64_t Interrupted(uint64_t deadline) { return deadline == kNever ? kRestart : -EINTR; }

constexpr uint64_t SignalBit(int signal) { return 1ull << (signal - 1); }

struct SignalInfo {  // the parts of siginfo_t that are filled
  int signal = 0;
  int error = 0;
  int code = 0;
  uint64_t address_or_sender = 0;
};

// rt_sigaction's kernel structure.
struct SignalAction {
  uint64_t handler = 0;
  uint64_t flags = 0;
  uint64_t restorer = 0;
  uint64_t mask = 0;
};

// To one thread, or to the process (`thread` null).
void SendSignal(Thread* thread, const SignalInfo& info);
// For a fault of the current thread: delivered even when blocked or ignored (then it kills).
void ForceSignal(const SignalInfo& info);

// True: `thread` has a pending signal that it does not block and that does something.
bool SignalDeliverable(const Thread& thread);
// All that is pending for `thread`, blocked or not.
uint64_t PendingSignals(const Thread& thread);
// Takes a pending signal of `set` off the current thread (sigtimedwait). False: none.
bool TakeSignal(uint64_t set, SignalInfo* info);
// Recomputes the word that the exit path of entry.S tests.
void UpdateExitWork();

// Delivers what is pending to the current thread by rewriting `frame`. `in_syscall`: frame->rax
// holds the result of a system call. Returns when the frame may be resumed; ends the VM on a fatal
// one.
void DeliverSignals(TrapFrame* frame, bool in_syscall);

// Before another program starts: handlers back to the default; what is ignored stays so unless
// `all`, which also forgets what is pending.
void ResetSignals(bool all);

// Describes a code address as module+offset into `buffer`.
void DescribeAddress(uint64_t address, char* buffer, uint32_t size);

// Replaces the current thread's mask until the end of the current system call.
void SetTemporaryMask(uint64_t mask);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SIGNAL_SIGNAL_H_
