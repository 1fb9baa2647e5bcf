#include "vmm/pack/layer_tree.h"

#include <algorithm>

namespace usetl::pack {
namespace {

constexpr size_t kMaxName = 255;
constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr std::string_view kReservedPrefix = ".wh..wh.";

}  // namespace

Status SplitPath(const char* path, PathParts* parts) {
  parts->clear();
  if (path == nullptr) return Status(EINVAL, "a name that cannot be read");
  std::string_view rest = path;
  if (rest.size() >= kMaxLayerPath) return Status(ENAMETOOLONG, "a name longer than 4095 bytes");
  while (!rest.empty()) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") return Status(EINVAL, "name with \"..\": " + std::string(path));
    if (part.size() > kMaxName) return Status(ENAMETOOLONG, "name too long: " + std::string(part));
    parts->push_back(part);
  }
  return Status();
}

std::string JoinPath(const PathParts& parts) {
  std::string path;
  for (std::string_view part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

Status LayerTree::CountEntry() {
  return ++entries_ <= options_.max_entries ? Status() : Status(E2BIG, "too many entries");
}

Status LayerTree::Directory(const PathParts& parts, uint32_t* node) {
  *node = PackTree::kRoot;
  for (std::string_view part : parts) {
    uint32_t child = tree_->Child(*node, part);
    const bool hidden =
        child != PackTree::kNone && tree_->inode_of(child).type == abi::PackType::kWhiteout;
    if (child == PackTree::kNone || hidden) {
      USETL_RETURN_IF_ERROR(CountEntry());
      PackInode inode;
      inode.type = hidden ? abi::PackType::kOpaqueDirectory : abi::PackType::kDirectory;
      inode.mode = 0755;
      child = tree_->AddName(*node, part, tree_->AddInode(std::move(inode)));
    } else if (!tree_->IsDirectory(child)) {
      return Status(ENOTDIR, "not a directory: " + JoinPath(parts));
    }
    *node = child;
  }
  return Status();
}

void LayerTree::SetDirectory(uint32_t node, PackInode inode) {
  inode.type = tree_->inode_of(node).type;
  tree_->inode_of(node) = std::move(inode);
}

Status LayerTree::AddSubdirectory(uint32_t parent, std::string_view name, PackInode inode) {
  const uint32_t node = tree_->Child(parent, name);
  if (node != PackTree::kNone && tree_->IsDirectory(node)) {
    SetDirectory(node, std::move(inode));
    return Status();
  }
  // A whiteout beside a directory of the same layer hides what lower layers have in it.
  if (node != PackTree::kNone && tree_->inode_of(node).type == abi::PackType::kWhiteout) {
    inode.type = abi::PackType::kOpaqueDirectory;
  }
  tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
  return Status();
}

Status LayerTree::AddWhiteout(uint32_t parent, std::string_view name) {
  if (name == kOpaqueName) {
    tree_->inode_of(parent).type = abi::PackType::kOpaqueDirectory;
    return Status();
  }
  if (name.starts_with(kReservedPrefix)) return Status();  // bookkeeping of an old file system
  name.remove_prefix(kWhiteoutPrefix.size());
  if (name.empty() || name == "." || name == "..") return Status(EINVAL, "whiteout of no name");
  const uint32_t node = tree_->Child(parent, name);
  if (node == PackTree::kNone) {
    PackInode inode;
    inode.type = abi::PackType::kWhiteout;
    tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
  } else if (tree_->IsDirectory(node)) {
    tree_->inode_of(node).type = abi::PackType::kOpaqueDirectory;
  }
  return Status();
}

Status LayerTree::AddHardLink(uint32_t parent, std::string_view name, const char* link) {
  PathParts parts;
  USETL_RETURN_IF_ERROR(SplitPath(link, &parts));
  uint32_t node = PackTree::kRoot;
  for (std::string_view part : parts) {
    node = tree_->Child(node, part);
    if (node == PackTree::kNone) break;
  }
  if (node == PackTree::kNone) return Status(ENOENT, std::string("hard link to nothing: ") + link);
  const abi::PackType type = tree_->inode_of(node).type;
  if (type != abi::PackType::kRegular && type != abi::PackType::kSymlink) {
    return Status(EINVAL, std::string("hard link to a directory: ") + link);
  }
  tree_->AddName(parent, name, tree_->node(node).inode);
  return Status();
}

}  // namespace usetl::pack
