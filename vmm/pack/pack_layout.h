// pack_layout.h: where everything of a tree lies in its pack.
#ifndef USETL_VMM_PACK_PACK_LAYOUT_H_
#define USETL_VMM_PACK_PACK_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/abi/pack.h"
#include "vmm/base/status.h"
#include "vmm/pack/pack_tree.h"

namespace usetl::pack {

constexpr uint64_t PageUp(uint64_t size) {
  return (size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

struct PackLayout {
  abi::PackHeader header{};  // but for the digest and the count of sites
  std::vector<abi::PackEntry> entries;
  std::string names;               // names and targets of symlinks
  std::vector<uint32_t> contents;  // nodes whose contents follow, in this order
};

// Numbers the nodes of `tree` breadth first, so that the children of one directory are consecutive,
// and gives every name and content its place.
Status MakeLayout(const PackTree& tree, PackLayout* layout);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_PACK_LAYOUT_H_
