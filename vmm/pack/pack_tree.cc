#include "vmm/pack/pack_tree.h"

namespace usetl::pack {

PackTree::PackTree() {
  PackInode root;
  root.type = abi::PackType::kDirectory;
  root.mode = 0755;
  nodes_.push_back({"", AddInode(std::move(root)), {}});
}

bool PackTree::IsDirectory(uint32_t node) const {
  const abi::PackType type = inode_of(node).type;
  return type == abi::PackType::kDirectory || type == abi::PackType::kOpaqueDirectory;
}

uint32_t PackTree::Child(uint32_t directory, std::string_view name) const {
  const auto& children = nodes_[directory].children;
  const auto found = children.find(name);
  return found == children.end() ? kNone : found->second;
}

uint32_t PackTree::AddInode(PackInode inode) {
  inodes_.push_back(std::move(inode));
  return inodes_.size() - 1;
}

uint32_t PackTree::AddName(uint32_t directory, std::string_view name, uint32_t inode) {
  const uint32_t node = nodes_.size();
  nodes_.push_back({std::string(name), inode, {}});
  nodes_[directory].children.insert_or_assign(std::string(name), node);
  return node;
}

int32_t PackTree::AddSource(Fd fd) {
  sources_.push_back(std::move(fd));
  return sources_.size() - 1;
}

bool IsExcluded(const SourceOptions& options, std::string_view path, bool* below) {
  for (const std::string& prefix : options.exclude) {
    if (!path.starts_with(prefix)) continue;
    *below = path.size() > prefix.size();
    if (!*below || path[prefix.size()] == '/') return true;
  }
  *below = false;
  return false;
}

}  // namespace usetl::pack
