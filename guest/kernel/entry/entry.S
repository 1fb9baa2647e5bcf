// entry.S: every way into the kernel and out of it. All of it runs at CPL3.
//
// Ways in: `call *[table+8*nr]` at rewritten sites, `syscall` through LSTAR (PVM) or #UD (VMX, SVM),
// faults through IDT gates, preemption by the host. The frame is entry/trap_frame.h.

#define FRAME_SIZE 176
#define FRAME_R9 64
#define FRAME_R8 72
#define FRAME_RAX 80
#define FRAME_RDX 96
#define FRAME_RSI 104
#define FRAME_RDI 112
#define FRAME_R10 56
#define FRAME_RIP 136
#define FRAME_FLAGS 152
#define FRAME_RSP 160
#define USER_CODE 0x33
#define USER_DATA 0x2b
#define FLAGS 0x202
#define SYSCALLS 512
// What the C library compares a result with. A rewritten site may have lost that comparison, so the
// flags are as if it had just been made (vmm/pack/syscall_rewriter.h).
#define FIRST_ERROR -4096

// HostPage::preempt_rip, asserted in kernel_header.cc.
#define PREEMPT_RIP 0x300000a0

.macro PUSH_REGISTERS
  push %rdi
  push %rsi
  push %rdx
  push %rcx
  push %rax
  push %r8
  push %r9
  push %r10
  push %r11
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
.endm

.section .entry_table, "a"
.set number, 0
.rept SYSCALLS
  .quad syscall_stubs + 16 * number
  .set number, number + 1
.endr

.section .text.entry, "ax"

// A rewritten site lost its `mov $nr, %eax`, so each number has its own stub.
.p2align 4
syscall_stubs:
.set number, 0
.rept SYSCALLS
  .p2align 4
  mov $number, %eax
  jmp syscall_called
  .set number, number + 1
.endr

// The return address is taken off the application's stack at once and its slot never read again:
// the red zone below RSP may hold the output of this very call.
.p2align 4
.globl syscall_called
syscall_called:
  pop %rcx
// RCX = return address, RAX = number, as the `syscall` instruction leaves them.
.globl syscall_entry
syscall_entry:
  cld
  mov %rsp, %r11
  mov g_kernel_stack_top, %rsp
  push $USER_DATA
  push %r11
  push $FLAGS
  push $USER_CODE
  push %rcx
  push $0
  push %rax
  PUSH_REGISTERS
  cmp $SYSCALLS, %rax
  jae 1f
  mov %r10, %rcx
  call *syscall_handlers(, %rax, 8)
2:
  cmpl $0, g_exit_work
  jne 3f
  mov FRAME_RDI(%rsp), %rdi
  mov FRAME_RSI(%rsp), %rsi
  mov FRAME_RDX(%rsp), %rdx
  mov FRAME_R10(%rsp), %r10
  mov FRAME_R8(%rsp), %r8
  mov FRAME_R9(%rsp), %r9
  mov FRAME_RIP(%rsp), %rcx
  mov FRAME_RSP(%rsp), %rsp
  cmp $FIRST_ERROR, %rax
  jmp *%rcx
1:
  call SyscallOutOfRange
  jmp 2b
3:
  cmp $FIRST_ERROR, %rax
  pushfq
  pop FRAME_FLAGS(%rsp)
  mov %rax, FRAME_RAX(%rsp)
  mov %rsp, %rdi
  call OnSyscallExit
  jmp trap_return

// void ResumeFrame(TrapFrame* frame)
.globl ResumeFrame
ResumeFrame:
  mov %rdi, %rsp
// Restores everything from the frame at RSP.
.globl trap_return
trap_return:
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rax
  pop %rcx
  pop %rdx
  pop %rsi
  pop %rdi
  add $16, %rsp
  iretq

// Faults: on an interrupt stack, which is left before the handler touches other memory, so that a
// fault in the handler cannot overwrite this frame.
.macro FAULT vector, has_error
  .p2align 4
fault_\vector:
  .if \has_error == 0
  push $0
  .endif
  push $\vector
  jmp fault_common
.endm

.irp v, 0, 1, 2, 3, 4, 5, 6, 7, 9, 15, 16, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 31
  FAULT \v, 0
.endr
.irp v, 8, 10, 11, 12, 13, 14, 17, 21, 29, 30
  FAULT \v, 1
.endr

fault_common:
  PUSH_REGISTERS
  cld
  mov FRAME_RIP(%rsp), %rax
  mov g_kernel_stack_top, %rdi
  cmp $kernel_text_begin, %rax
  jb 1f
  cmp $kernel_text_end, %rax
  jae 1f
  mov FRAME_RSP(%rsp), %rdi
  and $-16, %rdi
1:
  sub $FRAME_SIZE, %rdi
  mov %rsp, %rsi
  mov %rdi, %rdx
  mov $(FRAME_SIZE / 8), %ecx
  rep movsq
  mov %rdx, %rsp
  mov %rdx, %rdi
  call OnFault
  jmp trap_return

// The host interrupted the application and sent it here with all registers untouched; the place is
// in the host page.
.globl preempt_entry
preempt_entry:
  mov %rsp, g_preempted_stack
  mov g_kernel_stack_top, %rsp
  push $USER_DATA
  push g_preempted_stack
  pushfq
  push $USER_CODE
  push PREEMPT_RIP
  push $0
  push $256
  PUSH_REGISTERS
  cld
  mov %rsp, %rdi
  call OnPreempt
  jmp trap_return

// void SwitchStacks(uint64_t* save, uint64_t stack)
.globl SwitchStacks
SwitchStacks:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

// uint64_t UserCopy(void* to, const void* from, uint64_t size): 0, or 1 after a fault.
// uint64_t UserZero(void* to, uint64_t size)
// OnFault sends a fault between the two labels to user_access_fault.
.globl UserCopy, UserZero, user_access_begin, user_access_end, user_access_fault
.p2align 4
UserCopy:
  mov %rdx, %rcx
  xor %eax, %eax
user_access_begin:
  cmp $8, %rcx
  je 1f
  rep movsb
  ret
1:
  mov (%rsi), %rdx
  mov %rdx, (%rdi)
  ret
UserZero:
  mov %rsi, %rcx
  xor %eax, %eax
  rep stosb
  ret
user_access_end:
user_access_fault:
  mov $1, %eax
  ret

.globl kernel_start
kernel_start:
  xor %ebp, %ebp
  call KernelMain
  ud2

.globl clone_start
clone_start:
  xor %ebp, %ebp
  call CloneMain
  ud2

.section .kernel_header, "a"
  .quad 0x4c4e524b4c544553
  .long USETL_ABI_VERSION, 0
  .quad kernel_start, boot_stack_top, syscall_entry, preempt_entry
  .quad kernel_text_begin, kernel_text_end
.irp v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  .quad fault_\v
.endr
.irp v, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  .quad fault_\v
.endr
.irp n, 1, 2, 3, 4, 5, 6, 7
  .quad fault_stack_memory + \n * 4096
.endr
  .quad clone_start

.section .bss
.p2align 12
.globl fault_stack_memory
fault_stack_memory:
  .skip 7 * 4096
boot_stack:
  .skip 16384
.globl boot_stack_top
boot_stack_top:
.globl g_preempted_stack
g_preempted_stack:
  .skip 8

.section .note.GNU-stack, "", @progbits
