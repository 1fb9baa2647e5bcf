#include "vmm/usf/seccomp.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>

#include "vmm/platform/kvm/kvm_abi.h"

namespace usetl {
namespace {

// A reason per line: what needs it.
constexpr int kPlainCalls[] = {
    SCMP_SYS(read),             // drains the guest eventfd
    SCMP_SYS(ppoll),            // sleeps while the guest is idle
    SCMP_SYS(sendmsg),          // answers and events to vmmd
    SCMP_SYS(close),            // descriptors that came with a command
    SCMP_SYS(munmap),           // libc gives large allocations back
    SCMP_SYS(madvise),          // rollback returns runs of zero pages, scrubs what is shared
    SCMP_SYS(brk),              // malloc
    SCMP_SYS(timer_settime),    // the preemption tick
    SCMP_SYS(lseek),            // proof: pages that regions have; bake: the snapshot's size
    SCMP_SYS(clock_gettime),    // where the vDSO cannot answer
    SCMP_SYS(getrandom),        // fresh entropy for each generation
    SCMP_SYS(rt_sigreturn),     // end of a signal handler
    SCMP_SYS(restart_syscall),  // ppoll after a stop and continue
    SCMP_SYS(exit_group),       // the end
#ifdef __SANITIZE_THREAD__
    SCMP_SYS(rt_sigprocmask),  // around each signal
    SCMP_SYS(nanosleep),       // the sanitizer's own thread
#endif
};

// Of a bake beyond these.
constexpr int kBakeCalls[] = {
    SCMP_SYS(clock_nanosleep),  // waits for the guest's timers
    SCMP_SYS(write),            // lines of a trace
    SCMP_SYS(pread64),          // which pages were ever touched
    SCMP_SYS(ftruncate),        // the snapshot: sized,
    SCMP_SYS(pwrite64),         // filled
    SCMP_SYS(setitimer),        // the tick ends
    SCMP_SYS(rt_sigaction),     // and its handler
};

// ioctl requests on the vCPU and VM, all others are refused.
constexpr unsigned long kIoctls[] = {
    KVM_RUN,                     // the guest
    KVM_GET_DIRTY_LOG,           // rollback: what was written
    KVM_CLEAR_DIRTY_LOG,         // rollback: protect again
    KVM_SET_USER_MEMORY_REGION,  // growth of RAM and frames
    kvm::kSetXsave,              // rollback: vector registers
    kvm::kGetXsave,              // proof: vector registers
    kvm::kGetMsrs,               // proof: MSRs
    KVM_GET_REGS,                // proof: registers
    KVM_GET_SREGS,               // proof: segment and control registers
    KVM_GET_XCRS,                // proof: XCR0
    KVM_GET_DEBUGREGS,           // proof: debug registers
    KVM_GET_VCPU_EVENTS,         // proof: pending events
};

Status Failed(int code, const char* what) {
  return Status(-code, std::string("seccomp ") + what + ": " + std::strerror(-code));
}

}  // namespace

Status ApplySeccomp(bool bake) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return Status(ENOMEM, "seccomp_init failed");
  int error = 0;
  for (const int call : kPlainCalls) {
    if (error == 0) error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  }
  for (const int call : kBakeCalls) {
    if (bake && error == 0) error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  }
  if (bake && error == 0) {  // the snapshot: sealed
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                             SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS));
  }
  // Commands of vmmd. Each is taken out of the socket with its descriptors, none can be looked at
  // and left there for later.
  if (error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(recvmsg), 1,
                             SCMP_A2(SCMP_CMP_EQ, MSG_CMSG_CLOEXEC));
  }
  // "0" to the file of a cgroup.
  if (!bake && error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A2(SCMP_CMP_EQ, 1));
  }
  for (const unsigned long request : kIoctls) {
    if (error == 0) {
      error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, request));
    }
  }
  // malloc, fresh guest memory over what was given back, and the files of a clone, which come from
  // vmmd: never executable.
  if (error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  }
  if (error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0);  // realloc
  }
  if (error == 0) error = seccomp_load(filter);
  seccomp_release(filter);
  return error == 0 ? Status() : Failed(error, "filter");
}

}  // namespace usetl
