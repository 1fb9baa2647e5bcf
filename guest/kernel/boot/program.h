// program.h: what a program is started with, and its start in an empty address space.
#ifndef USETL_GUEST_KERNEL_BOOT_PROGRAM_H_
#define USETL_GUEST_KERNEL_BOOT_PROGRAM_H_

#include <cstdint>

namespace usetl::kernel {

// Kernel memory, or the boot pages.
struct Arguments {
  const char* path = nullptr;     // of the program
  const char* strings = nullptr;  // argv, then environment: zero-terminated, one after another
  uint32_t size = 0;              // bytes of `strings`
  uint32_t argc = 0, envc = 0;
};

// The longest list that execve(2) takes: as much as the boot pages hold.
inline constexpr uint32_t kMaxArguments = 512;
inline constexpr uint32_t kMaxArgumentBytes = 60 << 10;

// Of the program that runs.
const Arguments& CurrentArguments();
// The value of a variable, or null.
const char* FindVariable(const Arguments& arguments, const char* name);

// Whether there is a program at `arguments->path`. In the place of a script comes its interpreter,
// in kernel memory that stays. 0 or -errno.
int64_t ResolveProgram(Arguments* arguments);

// Maps the program and makes the thread that runs it, the first one. 0 or -errno; after an error
// the address space is of no use. REQUIRES: ResolveProgram().
int64_t StartProgram(const Arguments& arguments);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_BOOT_PROGRAM_H_
