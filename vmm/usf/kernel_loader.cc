#include "vmm/usf/kernel_loader.h"

#include <elf.h>

#include <cstring>

namespace usetl {

Result<LoadedKernel> LoadKernel(std::span<const uint8_t> elf, uint8_t* image) {
  const Status bad(ENOEXEC, "the guest kernel image is damaged; reinstall USETL");
  Elf64_Ehdr header;
  if (elf.size() < sizeof header) return bad;
  std::memcpy(&header, elf.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != EM_X86_64)
    return bad;
  LoadedKernel kernel{};
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    const uint64_t at = header.e_phoff + uint64_t{sizeof segment} * i;
    if (at > elf.size() - sizeof segment) return bad;
    std::memcpy(&segment, elf.data() + at, sizeof segment);
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (!abi::kKernelImage.Contains(segment.p_vaddr, segment.p_memsz) ||
        segment.p_filesz > segment.p_memsz || segment.p_offset > elf.size() ||
        segment.p_filesz > elf.size() - segment.p_offset) {
      return bad;
    }
    std::memcpy(image + (segment.p_vaddr - abi::kKernelImage.base), elf.data() + segment.p_offset,
                segment.p_filesz);
    const uint64_t begin = segment.p_vaddr & ~(abi::kPageSize - 1);
    const uint64_t end =
        (segment.p_vaddr + segment.p_memsz + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
    if (segment.p_flags & PF_X) kernel.text_begin = begin, kernel.text_end = end;
    if (segment.p_flags & PF_W) kernel.data = begin;
  }
  std::memcpy(&kernel.header, image + (abi::kKernelHeader - abi::kKernelImage.base),
              sizeof kernel.header);
  if (kernel.header.magic != abi::kKernelMagic || kernel.text_begin == 0 || kernel.data == 0) {
    return bad;
  }
  if (kernel.header.abi_version != abi::kAbiVersion) {
    return Status(EPROTO, "the guest kernel was built for another ABI version; reinstall USETL");
  }
  return kernel;
}

}  // namespace usetl
