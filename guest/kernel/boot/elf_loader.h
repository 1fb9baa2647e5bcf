// elf_loader.h: puts a program and its interpreter into zone C and builds its first stack.
#ifndef USETL_GUEST_KERNEL_BOOT_ELF_LOADER_H_
#define USETL_GUEST_KERNEL_BOOT_ELF_LOADER_H_

#include <cstdint>

#include "guest/kernel/boot/program.h"
#include "guest/kernel/file/file.h"

namespace usetl::kernel {

struct Program {
  uint64_t entry = 0;          // where to start: the interpreter's entry, or the program's
  uint64_t program_entry = 0;  // AT_ENTRY
  uint64_t headers = 0;        // AT_PHDR
  uint64_t header_count = 0;   // AT_PHNUM
  uint64_t interpreter = 0;    // AT_BASE
};

// Loads `path` (and PT_INTERP). 0 or -errno; -ENOEXEC for anything but x86-64 ELF.
int64_t LoadProgram(const char* path, Program* program);

// Whether LoadProgram() would find what it wants in `path` and its PT_INTERP. 0 or -errno.
int64_t CheckProgram(const char* path);

// Lays out argc, argv, envp and auxv (System V ABI, 3.4.1). Returns the stack pointer, or -errno.
int64_t BuildStack(const Program& program, const Arguments& arguments);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_BOOT_ELF_LOADER_H_
