// tmpfs.h: file systems of memory at no path.
#ifndef USETL_VMM_POOL_TMPFS_H_
#define USETL_VMM_POOL_TMPFS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// A tmpfs that lives as long as the descriptor, or a file in it. `attributes` are MOUNT_ATTR_*.
Result<Fd> DetachedTmpfs(const std::vector<std::pair<const char*, std::string>>& options,
                         unsigned attributes);

// A file of `size` bytes that is made of 2 MB pages where a mapping asks for them, without changing
// a setting of the system, alone in a tmpfs of that size. It cannot be sealed: a peer that may write
// it can cut or lengthen it, but never gets more memory than `size` by it.
Result<Fd> NewHugeFile(uint64_t size);

}  // namespace usetl

#endif  // USETL_VMM_POOL_TMPFS_H_
