// bake_boot.h: packs become a booted guest, and the guest a READY snapshot.
#ifndef USETL_VMM_POOL_BAKE_BOOT_H_
#define USETL_VMM_POOL_BAKE_BOOT_H_

#include <string>
#include <vector>

#include "vmm/pool/kernel_file.h"
#include "vmm/snapshot/snapshot.h"
#include "vmm/usf/guest_memory.h"

namespace usetl {

struct BootOrder {
  const KernelFile& kernel;
  std::vector<MemoryConfig::Pack> packs;  // lowest first
  std::vector<Digest> digests;            // of `packs`
  std::vector<std::string> arguments, environment;
  uint32_t trace = 0;
};

struct Booted {
  Snapshot snapshot;
  uint64_t exits;
};

// Runs the program until READY, in a child process that is jailed as a usf process is: an image is
// anybody's. REQUIRES: one thread, root.
Result<Booted> BootToSnapshot(const BootOrder& order);

}  // namespace usetl

#endif  // USETL_VMM_POOL_BAKE_BOOT_H_
