// threads.cc: clone, futex, exit and what threads ask about themselves.
#include <asm/errno.h>

#include "guest/kernel/host/control.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/futex.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kCloneVm = 0x100, kCloneFs = 0x200, kCloneFiles = 0x400, kCloneSighand = 0x800;
constexpr uint64_t kCloneThread = 0x10000, kCloneSetTls = 0x80000, kCloneParentSetTid = 0x100000;
constexpr uint64_t kCloneChildClearTid = 0x200000, kCloneChildSetTid = 0x1000000;
constexpr uint64_t kThreadFlags = kCloneVm | kCloneFs | kCloneFiles | kCloneSighand | kCloneThread;

// The host has page tables for the stacks of so many, and some more. Each GB of a region takes one.
uint32_t MostThreads() {
  constexpr uint64_t kMost = 400, kGigabyte = 1 << 30;
  const uint64_t regions = host_page().host_region_size + host_page().guest_region_size;
  return static_cast<uint32_t>(kMost - regions / kGigabyte);
}

struct CloneArguments {  // struct clone_args, first version
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

int64_t StartThread(const CloneArguments& a) {
  // Anything but a thread needs a second address space.
  if ((a.flags & kThreadFlags) != kThreadFlags) return -EAGAIN;
  if (g_thread_count >= MostThreads()) return -EAGAIN;
  TrapFrame frame = *g_current->frame();
  frame.rax = 0;
  frame.rcx = frame.rip;
  if (a.stack != 0) frame.rsp = a.stack + a.stack_size;
  uint64_t fs_base = a.tls;
  if (!(a.flags & kCloneSetTls)) asm volatile("rdfsbase %0" : "=r"(fs_base));
  Thread* thread = CreateThread(frame, fs_base);
  if (thread == nullptr) return -EAGAIN;
  thread->signal_mask = g_current->signal_mask;
  const auto tid = static_cast<uint32_t>(thread->tid);
  auto* parent_tid = reinterpret_cast<uint32_t*>(a.parent_tid);
  auto* child_tid = reinterpret_cast<uint32_t*>(a.child_tid);
  // As Linux: a bad pointer here does not undo the clone.
  if (a.flags & kCloneParentSetTid) (void)!PutUser(parent_tid, tid);
  if (a.flags & kCloneChildSetTid) (void)!PutUser(child_tid, tid);
  if (a.flags & kCloneChildClearTid) thread->clear_tid = child_tid;
  return thread->tid;
}

}  // namespace

extern "C" {

int64_t sys_clone(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid,
                  uint64_t tls) {
  return StartThread({flags, 0, child_tid, parent_tid, flags & 0xff, stack, 0, tls});
}

int64_t sys_clone3(const CloneArguments* user, uint64_t size) {
  CloneArguments arguments;
  if (size < sizeof arguments) return -EINVAL;
  if (!GetUser(&arguments, user)) return -EFAULT;
  return StartThread(arguments);
}

int64_t sys_fork() { return -EAGAIN; }
int64_t sys_vfork() { return -EAGAIN; }

int64_t sys_exit_group(int status) { ExitVm((status & 0xff) << 8, nullptr); }

int64_t sys_exit(int status) {
  if (g_thread_count == 1) return sys_exit_group(status);
  if (g_current->clear_tid != nullptr) {
    const uint32_t zero = 0;
    if (PutUser(g_current->clear_tid, zero)) FutexWake(g_current->clear_tid, 1, ~0u);
  }
  ExitThread();
}

int64_t sys_set_tid_address(uint32_t* address) {
  g_current->clear_tid = address;
  return ThreadId(*g_current);
}

int64_t sys_gettid() { return ThreadId(*g_current); }
int64_t sys_getpid() { return ProcessId(); }
int64_t sys_set_robust_list() { return 0; }
int64_t sys_rseq() { return -ENOSYS; }

int64_t sys_sched_yield() {
  Yield();
  return 0;
}

int64_t sys_futex(uint32_t* address, int operation, uint32_t value, uint64_t timeout_or_count,
                  uint32_t* second, uint32_t third) {
  constexpr int kWait = 0, kWake = 1, kRequeue = 3, kCmpRequeue = 4, kWakeOp = 5;
  constexpr int kWaitBitset = 9, kWakeBitset = 10, kPrivate = 128, kClockRealtime = 256;
  const int command = operation & ~(kPrivate | kClockRealtime);
  switch (command) {
    case kWait:
    case kWaitBitset: {
      uint64_t deadline = kNever;
      if (timeout_or_count != 0) {
        TimeSpec spec;
        if (!GetUser(&spec, reinterpret_cast<TimeSpec*>(timeout_or_count))) return -EFAULT;
        const int64_t ns = ToNanoseconds(spec);
        if (ns < 0) return -EINVAL;
        const uint64_t now = Monotonic();
        if (command == kWait) {
          deadline = After(now, ns);
        } else {
          const uint64_t clock = (operation & kClockRealtime) ? Realtime() : now;
          deadline = static_cast<uint64_t>(ns) > clock ? After(now, ns - clock) : now;
        }
      }
      return FutexWait(address, value, deadline, command == kWait ? ~0u : third);
    }
    case kWake:
      return FutexWake(address, value, ~0u);
    case kWakeBitset:
      return FutexWake(address, value, third);
    case kCmpRequeue: {
      uint32_t now;
      if (!GetUser(&now, address)) return -EFAULT;
      if (now != third) return -EAGAIN;
      [[fallthrough]];
    }
    case kRequeue:
      return FutexRequeue(address, value, second, static_cast<uint32_t>(timeout_or_count));
    case kWakeOp: {
      uint32_t old;
      if (!GetUser(&old, second)) return -EFAULT;
      const uint32_t kind = third >> 28 & 7, compare = third >> 24 & 15;
      uint32_t argument = third >> 12 & 0xfff;
      if (third >> 31) argument = 1u << (argument & 31);
      const uint32_t results[] = {argument, old + argument, old | argument, old & ~argument,
                                  old ^ argument};
      if (kind > 4 || compare > 5) return -ENOSYS;
      if (!PutUser(second, results[kind])) return -EFAULT;
      const auto a = static_cast<int32_t>(old), b = static_cast<int32_t>(third & 0xfff);
      const bool tests[] = {a == b, a != b, a<b, a <= b, a> b, a >= b};
      int64_t woken = FutexWake(address, value, ~0u);
      if (tests[compare]) woken += FutexWake(second, timeout_or_count, ~0u);
      return woken;
    }
    default:
      return -ENOSYS;
  }
}

int64_t sys_sched_getaffinity(int, uint64_t size, uint64_t* mask) {
  const uint64_t one = 1;
  if (size < sizeof one) return -EINVAL;
  return PutUser(mask, one) ? sizeof one : -EFAULT;
}
int64_t sys_sched_setaffinity() { return 0; }
int64_t sys_sched_getscheduler() { return 0; }
int64_t sys_getpriority() { return 20; }
int64_t sys_setpriority() { return 0; }

int64_t sys_getcpu(uint32_t* cpu, uint32_t* node) {
  const uint32_t zero = 0;
  if (cpu != nullptr && !PutUser(cpu, zero)) return -EFAULT;
  return node == nullptr || PutUser(node, zero) ? 0 : -EFAULT;
}

int64_t sys_arch_prctl(int code, uint64_t address) {
  constexpr int kSetGs = 0x1001, kSetFs = 0x1002, kGetFs = 0x1003, kGetGs = 0x1004;
  uint64_t base;
  switch (code) {
    case kSetFs:
      asm volatile("wrfsbase %0" : : "r"(address));
      return 0;
    case kSetGs:
      asm volatile("wrgsbase %0" : : "r"(address));
      return 0;
    case kGetFs:
      asm volatile("rdfsbase %0" : "=r"(base));
      return PutUser(reinterpret_cast<uint64_t*>(address), base) ? 0 : -EFAULT;
    case kGetGs:
      asm volatile("rdgsbase %0" : "=r"(base));
      return PutUser(reinterpret_cast<uint64_t*>(address), base) ? 0 : -EFAULT;
    default:
      return -EINVAL;
  }
}

int64_t sys_prctl(int option, uint64_t argument) {
  constexpr int kGetDumpable = 3, kSetDumpable = 4, kSetName = 15, kGetName = 16;
  switch (option) {
    case kSetName: {
      const int64_t length = CopyStringFromUser(g_current->name, reinterpret_cast<char*>(argument),
                                                sizeof g_current->name);
      g_current->name[sizeof g_current->name - 1] = 0;
      return length == -EFAULT ? -EFAULT : 0;
    }
    case kGetName:
      return CopyToUser(reinterpret_cast<char*>(argument), g_current->name, sizeof g_current->name)
                 ? 0
                 : -EFAULT;
    case kGetDumpable:
    case kSetDumpable:
      return 0;
    default:
      return -EINVAL;
  }
}

}  // extern "C"
}  // namespace usetl::kernel
