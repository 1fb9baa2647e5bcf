// merged_tree.h: several layers seen as the one tree that they make.
//
// Nothing is made in advance: a directory is merged when its children are asked for.
#ifndef USETL_VMM_PACK_MERGED_TREE_H_
#define USETL_VMM_PACK_MERGED_TREE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/abi/pack.h"
#include "vmm/base/status.h"
#include "vmm/pack/pack_reader.h"

namespace usetl::pack {

// A file, link or directory of the tree. The packs must outlive it, at the same addresses.
class MergedEntry {
 public:
  // By name (bytes); the names are the packs'.
  using Children = std::map<std::string_view, MergedEntry>;

  // The root directory of `layers`, lowest first; empty without any.
  static MergedEntry Root(std::span<const Pack> layers);

  bool is_directory() const;
  bool is_link() const;
  uint16_t mode() const;  // 0755 for the root: few layers say anything of it
  // What a regular file holds, where a link leads.
  std::string_view content() const;

  // None unless it is a directory.
  Children children() const;
  std::optional<MergedEntry> Child(std::string_view name) const;

 private:
  struct Part {
    const Pack* pack;
    const abi::PackEntry* entry;
  };
  // Lays what a higher layer has under the same name over `below`. None: it is a whiteout.
  static std::optional<MergedEntry> Over(std::optional<MergedEntry> below, Part above);

  bool root_ = false;
  std::vector<Part> parts_;  // of a directory all that make it, lowest first; else one
};

// The entry at `path`, relative to `root`, which is a directory. Links on the way and at the end
// are followed. ENOENT; EINVAL: a link leads out of the root, is absolute or one of too many, or
// something on the way is a file.
Result<MergedEntry> FindBelow(const MergedEntry& root, std::string_view path);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_MERGED_TREE_H_
