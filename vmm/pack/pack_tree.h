// pack_tree.h: a tree in memory that becomes a pack.
//
// Sources add names and say where contents are; WritePack() reads the contents. Nothing here
// touches the host's file system by a name that an image chose, but for opening files below a
// source directory, which never follows a link.
#ifndef USETL_VMM_PACK_PACK_TREE_H_
#define USETL_VMM_PACK_PACK_TREE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/abi/pack.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::pack {

// What several names may share: one file, directory, link or whiteout.
struct PackInode {
  abi::PackType type = abi::PackType::kRegular;
  uint16_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t modified_ns = 0;
  uint64_t size = 0;           // of a regular file
  std::string target;          // of a symlink
  int32_t source = -1;         // of a regular file with bytes: number of PackTree::source()
  uint64_t source_offset = 0;  // where they start, when the source is one file
  std::string source_path;     // their path, when it is a directory
};

struct PackNode {
  std::string name;
  uint32_t inode;
  std::map<std::string, uint32_t, std::less<>> children;  // nodes, sorted by name bytes
};

class PackTree {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~uint32_t{0};

  PackTree();  // an empty root directory, mode 0755

  const PackNode& node(uint32_t node) const { return nodes_[node]; }
  PackInode& inode_of(uint32_t node) { return inodes_[nodes_[node].inode]; }
  const PackInode& inode_of(uint32_t node) const { return inodes_[nodes_[node].inode]; }
  size_t node_count() const { return nodes_.size(); }
  size_t inode_count() const { return inodes_.size(); }
  bool IsDirectory(uint32_t node) const;

  // The child of that name, or kNone.
  uint32_t Child(uint32_t directory, std::string_view name) const;
  uint32_t AddInode(PackInode inode);
  // Names `inode` in `directory`, in place of what had the name. Returns the node.
  uint32_t AddName(uint32_t directory, std::string_view name, uint32_t inode);

  // Contents are read from `fd`: a directory (source_path) or a file (source_offset).
  int32_t AddSource(Fd fd);
  int source(int32_t number) const { return sources_[number].get(); }

 private:
  std::vector<PackNode> nodes_;  // replaced ones stay, unreachable
  std::vector<PackInode> inodes_;
  std::vector<Fd> sources_;
};

// What to take from a source.
struct SourceOptions {
  // Paths without leading or trailing '/'. A directory of that path is kept, as a mount point, but
  // nothing below it is; a file of that path is left out.
  std::vector<std::string> exclude;
  uint64_t max_entries = 1'000'000;
  uint64_t max_bytes = uint64_t{16} << 30;  // of all contents together, unpacked
};

// Adds the tree below `path`. Follows no link; leaves out devices, sockets and FIFOs. Names of one
// inode become hard links.
Status AddDirectory(const std::string& path, const SourceOptions& options, PackTree* tree);

// Adds a layer: a tar file, plain or compressed (gzip, zstd, xz), with OCI whiteouts. Refuses names
// with ".." and whatever exceeds the limits; a leading '/' means the root of the layer. Contents
// are unpacked into an unnamed file in `spool_directory`.
Status AddArchive(int archive_fd, const std::string& spool_directory, const SourceOptions& options,
                  PackTree* tree);

// The first part of the path of the first entry that is not the root; empty: there is none.
Result<std::string> FirstName(int archive_fd);

// Whether `path` is one of options.exclude, or below one (`below`).
bool IsExcluded(const SourceOptions& options, std::string_view path, bool* below);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_PACK_TREE_H_
