// frame.h: the stack frame of a signal handler, as the x86-64 Linux ABI has it.
#ifndef USETL_GUEST_KERNEL_SIGNAL_FRAME_H_
#define USETL_GUEST_KERNEL_SIGNAL_FRAME_H_

#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {

inline constexpr uint64_t kSignalDefault = 0;
inline constexpr uint64_t kSignalIgnore = 1;
inline constexpr uint64_t kActionOnStack = 0x08000000;
inline constexpr uint64_t kActionRestart = 0x10000000;
inline constexpr uint64_t kActionNoDefer = 0x40000000;
inline constexpr uint64_t kActionResetHandler = 0x80000000;

extern SignalAction g_actions[kSignalCount + 1];

// Makes `frame` enter the handler; the interrupted registers lie on the application's stack. False:
// that stack cannot be written.
bool PushSignalFrame(TrapFrame* frame, const SignalAction& action, const SignalInfo& info);

// Takes the frame at frame->rsp (rt_sigreturn) back into `frame`. False: it cannot be read.
bool PopSignalFrame(TrapFrame* frame);

// Sets `frame` to execute its system call again.
void RewindSyscall(TrapFrame* frame);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SIGNAL_FRAME_H_
