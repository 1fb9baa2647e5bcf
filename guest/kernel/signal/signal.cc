// signal.cc: sending, choosing and default actions. frame.cc builds what a handler sees.
#include "guest/kernel/signal/signal.h"

#include <asm/errno.h>

#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/signal/frame.h"

extern "C" uint32_t g_exit_work;
uint32_t g_exit_work = 0;

namespace usetl::kernel {

SignalAction g_actions[kSignalCount + 1];

namespace {

uint64_t g_process_pending = 0;
SignalInfo g_infos[kSignalCount + 1];  // of pending signals; the latest wins

struct LastFault {
  int signal = 0;
  uint64_t address = 0;
  uint64_t rip = 0;
  uint64_t rsp = 0;
};
LastFault g_last_fault;

constexpr uint64_t kIgnoredByDefault =
    SignalBit(kSigChld) | SignalBit(kSigCont) | SignalBit(kSigUrg) | SignalBit(kSigWinch) |
    SignalBit(kSigStop) | SignalBit(kSigTstp) | SignalBit(21) | SignalBit(22);
constexpr uint64_t kUnblockable = SignalBit(kSigKill) | SignalBit(kSigStop);

bool Ignored(int signal) {
  const uint64_t handler = g_actions[signal].handler;
  return handler == kSignalIgnore ||
         (handler == kSignalDefault && (kIgnoredByDefault & SignalBit(signal)));
}

uint64_t Pending(const Thread& thread) {
  return (thread.pending_signals | g_process_pending) & ~(thread.signal_mask & ~kUnblockable);
}

const char* NameOf(int signal) {
  switch (signal) {
    case kSigIll:
      return "SIGILL";
    case kSigTrap:
      return "SIGTRAP";
    case kSigAbrt:
      return "SIGABRT";
    case kSigBus:
      return "SIGBUS";
    case kSigFpe:
      return "SIGFPE";
    case kSigKill:
      return "SIGKILL";
    case kSigSegv:
      return "SIGSEGV";
    case kSigPipe:
      return "SIGPIPE";
    case kSigAlrm:
      return "SIGALRM";
    case 1:
      return "SIGHUP";
    case 2:
      return "SIGINT";
    case 3:
      return "SIGQUIT";
    case 10:
      return "SIGUSR1";
    case 12:
      return "SIGUSR2";
    case kSigTerm:
      return "SIGTERM";
    default:
      return "signal";
  }
}

[[noreturn]] void Die(int signal) {
  char text[512];
  char where[256];
  if (g_last_fault.signal == signal) {
    DescribeAddress(g_last_fault.rip, where, sizeof where);
    Format(text, sizeof text, "%s: address 0x%x, instruction 0x%x in %s, stack 0x%x",
           NameOf(signal), g_last_fault.address, g_last_fault.rip, where, g_last_fault.rsp);
  } else {
    Format(text, sizeof text, "killed by %s (%d)", NameOf(signal), int64_t{signal});
  }
  ExitVm(signal, text);
}

}  // namespace

void SendSignal(Thread* thread, const SignalInfo& info) {
  if (info.signal != kSigKill && Ignored(info.signal)) return;
  const uint64_t bit = SignalBit(info.signal);
  g_infos[info.signal] = info;
  if (thread != nullptr) {
    thread->pending_signals |= bit;
    if (thread->interruptible && SignalDeliverable(*thread)) {
      WakeThread(thread, WakeReason::kSignal);
    }
  } else {
    g_process_pending |= bit;
    Thread* target = nullptr;
    for (Thread* t = g_threads; t != nullptr; t = t->next) {
      if (!(t->signal_mask & bit)) target = t;  // the oldest thread stands last
    }
    if (target != nullptr && target->interruptible) WakeThread(target, WakeReason::kSignal);
  }
  UpdateExitWork();
}

void ForceSignal(const SignalInfo& info) {
  Thread& self = *g_current;
  const uint64_t bit = SignalBit(info.signal);
  const uint64_t handler = g_actions[info.signal].handler;
  if ((self.signal_mask & bit) || handler == kSignalIgnore) {
    g_actions[info.signal] = SignalAction{};
    self.signal_mask &= ~bit;
  }
  g_infos[info.signal] = info;
  self.pending_signals |= bit;
  UpdateExitWork();
}

bool SignalDeliverable(const Thread& thread) {
  for (uint64_t pending = Pending(thread); pending != 0; pending &= pending - 1) {
    if (!Ignored(__builtin_ctzll(pending) + 1)) return true;
  }
  return false;
}

uint64_t PendingSignals(const Thread& thread) { return thread.pending_signals | g_process_pending; }

bool TakeSignal(uint64_t set, SignalInfo* info) {
  const uint64_t chosen = PendingSignals(*g_current) & set;
  if (chosen == 0) return false;
  const int signal = __builtin_ctzll(chosen) + 1;
  g_current->pending_signals &= ~SignalBit(signal);
  g_process_pending &= ~SignalBit(signal);
  *info = g_infos[signal];
  return true;
}

void UpdateExitWork() {
  const bool trace = (host_page().trace & abi::kTraceSyscalls) != 0;
  g_exit_work = trace || Pending(*g_current) != 0 || g_current->restore_mask;
}

void SetTemporaryMask(uint64_t mask) {
  Thread& self = *g_current;
  self.saved_mask = self.signal_mask;
  self.restore_mask = true;
  self.signal_mask = mask & ~kUnblockable;
  UpdateExitWork();
}

void DeliverSignals(TrapFrame* frame, bool in_syscall) {
  Thread& self = *g_current;
  const auto result = static_cast<int64_t>(frame->rax);
  while (const uint64_t pending = Pending(self)) {
    // Faults first: they belong to the instruction at hand.
    constexpr uint64_t kSynchronous = SignalBit(kSigSegv) | SignalBit(kSigBus) |
                                      SignalBit(kSigIll) | SignalBit(kSigFpe) | SignalBit(kSigTrap);
    const uint64_t chosen = (pending & kSynchronous) ? pending & kSynchronous : pending;
    const int signal = __builtin_ctzll(chosen) + 1;
    self.pending_signals &= ~SignalBit(signal);
    g_process_pending &= ~SignalBit(signal);
    if (Ignored(signal) && signal != kSigKill) continue;
    const SignalInfo& info = g_infos[signal];
    if (info.code > 0 && (SignalBit(signal) & kSynchronous)) {
      g_last_fault = {signal, info.address_or_sender, frame->rip, frame->rsp};
    }
    const SignalAction action = g_actions[signal];
    if (action.handler == kSignalDefault || signal == kSigKill) Die(signal);
    if (in_syscall && result == kRestart) {
      if (action.flags & kActionRestart) {
        RewindSyscall(frame);
      } else {
        frame->rax = static_cast<uint64_t>(-EINTR);
      }
    }
    if (action.flags & kActionResetHandler) g_actions[signal] = SignalAction{};
    if (!PushSignalFrame(frame, action, info)) Die(kSigSegv);
    in_syscall = false;
  }
  if (in_syscall && result == kRestart) RewindSyscall(frame);
  if (self.restore_mask) {
    self.restore_mask = false;
    self.signal_mask = self.saved_mask;
  }
  UpdateExitWork();
}

void ResetSignals(bool all) {
  for (SignalAction& action : g_actions) {
    const bool ignored = action.handler == kSignalIgnore && !all;
    action = SignalAction{};
    if (ignored) action.handler = kSignalIgnore;
  }
  if (all) g_process_pending = 0;
}

void DescribeAddress(uint64_t address, char* buffer, uint32_t size) {
  char name[192];
  uint64_t offset = 0;
  if (DescribeMapping(address, name, sizeof name, &offset)) {
    Format(buffer, size, "%s+0x%x", name, offset);
  } else {
    Format(buffer, size, "no module");
  }
}

}  // namespace usetl::kernel
