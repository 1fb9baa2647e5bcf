// pack_writer.h: makes a pack out of a tree.
#ifndef USETL_VMM_PACK_PACK_WRITER_H_
#define USETL_VMM_PACK_PACK_WRITER_H_

#include <array>
#include <cstdint>
#include <string>

#include "vmm/base/status.h"
#include "vmm/pack/pack_tree.h"
#include "vmm/pack/syscall_rewriter.h"

namespace usetl::pack {

struct WriteOptions {
  // Flush the file before it gets its name: for packs that must survive a crash of the node.
  bool sync = false;
};

struct PackSummary {
  uint32_t entries = 0;
  uint64_t size = 0;  // bytes of the file
  RewriteCounts sites;
  std::array<uint8_t, 32> digest{};
};

// Writes `tree` as the pack `path`, replacing a file of that name in one step. ELF programs and
// libraries in it have their system calls rewritten. On an error nothing is left behind.
Result<PackSummary> WritePack(const PackTree& tree, const std::string& path,
                              const WriteOptions& options);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_PACK_WRITER_H_
