// syscall_rewriter.h: turns system calls of a program into calls through the entry table.
//
//   b8 nr nr 00 00       mov  $nr, %eax
//   ...                  what only computes    becomes   ...                  the same
//   0f 05                syscall                         ff 14 25 abs32       call *[table+8*nr]
//
//   31 c0                xor  %eax, %eax
//   0f 05                syscall
//   48 3d 00 f0 ff ff    cmp  $-4096, %rax     becomes   ff 14 25 abs32       call *[table]
//                                                        0f 1f 00             nop
//
// The second form is read(2) of the C library: the kernel comes back with the flags of that
// comparison (guest/kernel/entry). Nothing else moves. What is not rewritten still works: the guest
// traps it, only slower. So every doubt is decided for leaving a site alone.
#ifndef USETL_VMM_PACK_SYSCALL_REWRITER_H_
#define USETL_VMM_PACK_SYSCALL_REWRITER_H_

#include <cstdint>
#include <span>

namespace usetl::pack {

struct RewriteCounts {
  uint32_t rewritten = 0;  // sites that became calls
  uint32_t left = 0;       // `syscall` instructions that stay
};

// Rewrites the sites of an ELF64 x86-64 file (ET_EXEC or ET_DYN) in place. Any other bytes,
// malformed ELF files too, are left as they are: {0, 0}. Runs in time linear in the size (but for a
// sort of the symbols), whatever the input.
//
// A site is rewritten when its instructions were decoded one after the other from a known start,
// the number is below abi::kSyscallCount, what stands between uses neither RAX nor RIP and changes
// neither RSP nor RBP, and nothing is seen to point behind its first byte: no
// direct branch, symbol, unwind entry, address in data (relocation addends and absolute jump tables
// among them) or entry of a relative jump table.
//
// The call writes its return address to [-8,0)(%rsp), which leaf functions may use. The guest
// kernel takes it off at once and never reads the slot again, so what a system call writes there
// survives. Functions that name memory below RSP, or below what they took for their frame, are left
// alone, and so are their parts that lie elsewhere.
RewriteCounts RewriteSyscalls(std::span<uint8_t> file);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_SYSCALL_REWRITER_H_
