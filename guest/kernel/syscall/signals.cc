// signals.cc: the system calls around signals.
#include <asm/errno.h>

#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/frame.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/identity.h"

extern "C" void ResumeFrame(usetl::kernel::TrapFrame* frame);

namespace usetl::kernel {
namespace {

constexpr uint64_t kUnblockable = SignalBit(kSigKill) | SignalBit(kSigStop);
constexpr int kSentByUser = 0, kSentByTkill = -6;

int64_t SendTo(int tid, int signal) {
  if (signal < 0 || signal > kSignalCount) return -EINVAL;
  Thread* thread = ThreadByAnyId(tid);
  if (thread == nullptr) return -ESRCH;
  if (signal != 0) SendSignal(thread, {signal, 0, kSentByTkill, uint64_t(ProcessId())});
  return 0;
}

}  // namespace

extern "C" {

int64_t sys_rt_sigaction(int signal, const SignalAction* user, SignalAction* old, uint64_t size) {
  if (signal < 1 || signal > kSignalCount || size != 8) return -EINVAL;
  if (user != nullptr && (SignalBit(signal) & kUnblockable)) return -EINVAL;
  SignalAction action;
  if (user != nullptr && !GetUser(&action, user)) return -EFAULT;
  if (old != nullptr && !PutUser(old, g_actions[signal])) return -EFAULT;
  if (user != nullptr) {
    action.mask &= ~kUnblockable;
    g_actions[signal] = action;
  }
  return 0;
}

int64_t sys_rt_sigprocmask(int how, const uint64_t* user, uint64_t* old, uint64_t size) {
  if (size != 8) return -EINVAL;
  const uint64_t before = g_current->signal_mask;
  if (user != nullptr) {
    uint64_t set;
    if (!GetUser(&set, user)) return -EFAULT;
    uint64_t mask;
    switch (how) {
      case 0:
        mask = before | set;
        break;
      case 1:
        mask = before & ~set;
        break;
      case 2:
        mask = set;
        break;
      default:
        return -EINVAL;
    }
    g_current->signal_mask = mask & ~kUnblockable;
    UpdateExitWork();
  }
  return old == nullptr || PutUser(old, before) ? 0 : -EFAULT;
}

int64_t sys_rt_sigpending(uint64_t* user, uint64_t size) {
  if (size != 8) return -EINVAL;
  const uint64_t pending = PendingSignals(*g_current) & g_current->signal_mask;
  return PutUser(user, pending) ? 0 : -EFAULT;
}

int64_t sys_rt_sigreturn() {
  TrapFrame* frame = g_current->frame();
  if (!PopSignalFrame(frame)) ForceSignal({kSigSegv, 0, 0x80, 0});
  DeliverSignals(frame, /*in_syscall=*/false);
  ResumeFrame(frame);
  __builtin_unreachable();
}

int64_t sys_sigaltstack(const SignalStack* user, SignalStack* old) {
  constexpr uint32_t kOnStack = 1, kDisable = 2;
  struct UserStack {
    uint64_t base;
    uint32_t flags, padding;
    uint64_t size;
  };
  Thread& self = *g_current;
  const uint64_t rsp = self.frame()->rsp;
  const bool active = !(self.signal_stack.flags & kDisable) && rsp > self.signal_stack.base &&
                      rsp - self.signal_stack.base <= self.signal_stack.size;
  if (old != nullptr) {
    const UserStack out{self.signal_stack.base,
                        active ? kOnStack : (self.signal_stack.flags & kDisable), 0,
                        self.signal_stack.size};
    if (!CopyToUser(old, &out, sizeof out)) return -EFAULT;
  }
  if (user != nullptr) {
    UserStack in;
    if (!CopyFromUser(&in, user, sizeof in)) return -EFAULT;
    if (active) return -EPERM;
    constexpr uint64_t kSmallest = 2048;
    if (!(in.flags & kDisable) && in.size < kSmallest) return -ENOMEM;
    self.signal_stack = {in.base, in.flags & kDisable, in.size};
  }
  return 0;
}

int64_t sys_kill(int pid, int signal) {
  if (signal < 0 || signal > kSignalCount) return -EINVAL;
  if (pid != ProcessId() && pid != 0 && pid != -1) return -ESRCH;
  if (signal != 0) SendSignal(nullptr, {signal, 0, kSentByUser, uint64_t(ProcessId())});
  return 0;
}

int64_t sys_tkill(int tid, int signal) { return SendTo(tid, signal); }
int64_t sys_tgkill(int, int tid, int signal) { return SendTo(tid, signal); }

int64_t sys_pause() {
  Sleep(kNever, /*interruptible=*/true);
  return -EINTR;
}

int64_t sys_rt_sigsuspend(const uint64_t* user, uint64_t size) {
  uint64_t mask;
  if (size != 8) return -EINVAL;
  if (!GetUser(&mask, user)) return -EFAULT;
  SetTemporaryMask(mask);
  Sleep(kNever, /*interruptible=*/true);
  return -EINTR;
}

int64_t sys_rt_sigtimedwait(const uint64_t* user, void* info, const TimeSpec* timeout,
                            uint64_t size) {
  uint64_t set;
  if (size != 8) return -EINVAL;
  if (!GetUser(&set, user)) return -EFAULT;
  uint64_t deadline = kNever;
  if (timeout != nullptr) {
    TimeSpec spec;
    if (!GetUser(&spec, timeout)) return -EFAULT;
    const int64_t ns = ToNanoseconds(spec);
    if (ns < 0) return -EINVAL;
    deadline = After(Monotonic(), ns);
  }
  const uint64_t mask = g_current->signal_mask;
  for (;;) {
    SignalInfo taken;
    if (TakeSignal(set, &taken)) {
      struct {
        int32_t signal, error, code, padding;
        uint64_t rest[14];
      } out{taken.signal, taken.error, taken.code, 0, {taken.address_or_sender}};
      if (info != nullptr && !CopyToUser(info, &out, sizeof out)) return -EFAULT;
      return taken.signal;
    }
    if (Monotonic() >= deadline) return -EAGAIN;
    g_current->signal_mask = mask & ~set;
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    g_current->signal_mask = mask;
    if (reason == WakeReason::kSignal && !(PendingSignals(*g_current) & set)) return -EINTR;
  }
}

}  // extern "C"
}  // namespace usetl::kernel
