// kernel_file.h: the guest kernel's image and its digest.
#ifndef USETL_VMM_POOL_KERNEL_FILE_H_
#define USETL_VMM_POOL_KERNEL_FILE_H_

#include <string>
#include <vector>

#include "vmm/snapshot/snapshot.h"

namespace usetl {

struct KernelFile {
  std::vector<uint8_t> bytes;
  Digest digest;
};

Result<KernelFile> ReadKernel(const std::string& path);

}  // namespace usetl

#endif  // USETL_VMM_POOL_KERNEL_FILE_H_
