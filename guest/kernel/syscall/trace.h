// trace.h: one line per system call for the VMM's log (usetl run --trace).
#ifndef USETL_GUEST_KERNEL_SYSCALL_TRACE_H_
#define USETL_GUEST_KERNEL_SYSCALL_TRACE_H_

#include "guest/kernel/entry/trap_frame.h"

namespace usetl::kernel {

// Logs the call that `frame` finished: name, arguments, result.
void TraceSyscall(const TrapFrame& frame);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SYSCALL_TRACE_H_
