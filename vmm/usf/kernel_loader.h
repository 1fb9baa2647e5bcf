// kernel_loader.h: puts the guest kernel's ELF image into RAM.
#ifndef USETL_VMM_USF_KERNEL_LOADER_H_
#define USETL_VMM_USF_KERNEL_LOADER_H_

#include <span>

#include "vmm/abi/kernel_image.h"
#include "vmm/base/status.h"

namespace usetl {

struct LoadedKernel {
  abi::KernelHeader header;
  uint64_t text_begin;  // page-aligned bounds of the executable segment
  uint64_t text_end;
  uint64_t data;  // first writable page
};

// Copies the segments of `elf` (our own build, still bounds-checked) to abi::kKernelImage, which
// the host sees at `image`, and checks the header's magic and version.
Result<LoadedKernel> LoadKernel(std::span<const uint8_t> elf, uint8_t* image);

}  // namespace usetl

#endif  // USETL_VMM_USF_KERNEL_LOADER_H_
