// kernel_image.h: what the host must know of the guest kernel's ELF image.
//
// The header stands one page behind the system call entry table, at a fixed address.
#ifndef USETL_VMM_ABI_KERNEL_IMAGE_H_
#define USETL_VMM_ABI_KERNEL_IMAGE_H_

#include "vmm/abi/layout.h"

namespace usetl::abi {

struct KernelHeader {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t reserved;
  uint64_t entry;          // first instruction at boot
  uint64_t boot_stack;     // top
  uint64_t syscall_entry;  // for LSTAR
  uint64_t preempt_entry;  // where the host sends an interrupted application
  uint64_t text_begin;     // RIP in [text_begin, text_end): kernel, must not be preempted
  uint64_t text_end;
  uint64_t fault_entries[32];
  uint64_t fault_stacks[7];  // tops, for the IST
  uint64_t clone_entry;      // first instruction of a clone (vmm/snapshot/clone.h)
};
static_assert(sizeof(KernelHeader) == 64 + 40 * 8);

inline constexpr uint64_t kKernelHeader = kKernelImage.base + kPageSize;
inline constexpr uint64_t kKernelMagic = 0x4c4e'524b'4c54'4553;  // "SETLKRNL"

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_KERNEL_IMAGE_H_
