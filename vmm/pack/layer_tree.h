// layer_tree.h: a tree that grows by the rules of OCI layers: names in any order, later ones
// replacing earlier ones, whiteouts.
#ifndef USETL_VMM_PACK_LAYER_TREE_H_
#define USETL_VMM_PACK_LAYER_TREE_H_

#include <string>
#include <string_view>
#include <vector>

#include "vmm/pack/pack_tree.h"

namespace usetl::pack {

inline constexpr size_t kMaxLayerPath = 4096;

using PathParts = std::vector<std::string_view>;

// The components of `path` without empty ones and "."; an error when one is ".." or too long. They
// refer to `path`.
Status SplitPath(const char* path, PathParts* parts);
std::string JoinPath(const PathParts& parts);

class LayerTree {
 public:
  // Both must outlive this.
  LayerTree(const SourceOptions& options, PackTree* tree) : options_(options), tree_(tree) {}

  static bool IsWhiteout(std::string_view name) { return name.starts_with(".wh."); }

  // Counts against the limit: entries of the archive and directories that it only implies.
  Status CountEntry();
  // The directory of these components, made where it is missing. Links are not followed.
  Status Directory(const PathParts& parts, uint32_t* node);
  // Sets what an archive says of a directory that is there already; opaqueness stays.
  void SetDirectory(uint32_t node, PackInode inode);
  Status AddSubdirectory(uint32_t parent, std::string_view name, PackInode inode);
  Status AddWhiteout(uint32_t parent, std::string_view name);
  // `link` is the path in the same layer that gets another name.
  Status AddHardLink(uint32_t parent, std::string_view name, const char* link);

 private:
  const SourceOptions& options_;
  PackTree* const tree_;
  uint64_t entries_ = 0;
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_LAYER_TREE_H_
