// trap_frame.h: registers of the application as saved on entry to the kernel.
#ifndef USETL_GUEST_KERNEL_ENTRY_TRAP_FRAME_H_
#define USETL_GUEST_KERNEL_ENTRY_TRAP_FRAME_H_

#include <cstddef>
#include <cstdint>

namespace usetl::kernel {

// Order of the pushes in entry.S; the last five are what the processor pushes and iretq pops.
struct TrapFrame {
  uint64_t r15, r14, r13, r12, rbp, rbx;
  uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  uint64_t vector;  // fault vector; the number for a system call
  uint64_t error;
  uint64_t rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(TrapFrame) == 176 && offsetof(TrapFrame, rip) == 136);

inline constexpr uint64_t kUserCodeSelector = 0x33;
inline constexpr uint64_t kUserDataSelector = 0x2b;
inline constexpr uint64_t kInitialFlags = 0x202;

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_ENTRY_TRAP_FRAME_H_
