#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "vmm/pack/pack_tree.h"

namespace usetl::pack {
namespace {

constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxName = 255;
constexpr size_t kReadSize = 256 << 10;
constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr std::string_view kReservedPrefix = ".wh..wh.";

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

// The components of `path`; an error when one is ".." or the path is out of bounds.
Status Split(const char* path, std::vector<std::string_view>* parts) {
  parts->clear();
  if (path == nullptr) return Status(EINVAL, "a name that cannot be read");
  std::string_view rest = path;
  if (rest.size() >= kMaxPath) return Status(ENAMETOOLONG, "a name longer than 4095 bytes");
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

std::string Join(const std::vector<std::string_view>& parts) {
  std::string path;
  for (std::string_view part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

class Unpacker {
 public:
  Unpacker(const SourceOptions& options, PackTree* tree) : options_(options), tree_(tree) {}

  Status Run(int fd, const std::string& spool_directory) {
    Fd spool(open(spool_directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!spool.ok()) return Status::Errno("make a temporary file in " + spool_directory);
    source_ = tree_->AddSource(std::move(spool));
    archive_.reset(archive_read_new());
    if (!archive_) return Status(ENOMEM, "no memory for reading an archive");
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_empty(archive_.get());
    if (archive_read_open_fd(archive_.get(), fd, kReadSize) != ARCHIVE_OK) return Failure();
    while (true) {
      archive_entry* entry;
      const int result = archive_read_next_header(archive_.get(), &entry);
      if (result == ARCHIVE_EOF) return Status();
      // A warning is about a name's character set; the bytes are there.
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failure();
      if (++entries_ > options_.max_entries) return Status(E2BIG, "too many entries");
      USETL_RETURN_IF_ERROR(Add(entry));
    }
  }

 private:
  Status Failure() const {
    const char* text = archive_error_string(archive_.get());
    return Status(EBADMSG, text != nullptr ? text : "malformed");
  }

  // The directory of these components, made where it is missing.
  Status Directory(const std::vector<std::string_view>& parts, uint32_t* node) {
    *node = PackTree::kRoot;
    for (std::string_view part : parts) {
      uint32_t child = tree_->Child(*node, part);
      const bool hidden = child != PackTree::kNone &&
                          tree_->inode_of(child).type == abi::PackType::kWhiteout;
      if (child == PackTree::kNone || hidden) {
        if (++entries_ > options_.max_entries) return Status(E2BIG, "too many entries");
        PackInode inode;
        inode.type = hidden ? abi::PackType::kOpaqueDirectory : abi::PackType::kDirectory;
        inode.mode = 0755;
        child = tree_->AddName(*node, part, tree_->AddInode(std::move(inode)));
      } else if (!tree_->IsDirectory(child)) {
        return Status(ENOTDIR, "not a directory: " + Join(parts));
      }
      *node = child;
    }
    return Status();
  }

  Status Add(archive_entry* entry) {
    std::vector<std::string_view> parts;
    USETL_RETURN_IF_ERROR(Split(archive_entry_pathname(entry), &parts));
    PackInode inode;
    inode.mode = archive_entry_perm(entry) & 07777;
    inode.uid = archive_entry_uid(entry);
    inode.gid = archive_entry_gid(entry);
    if (archive_entry_mtime(entry) > 0) {
      inode.modified_ns =
          archive_entry_mtime(entry) * uint64_t{1'000'000'000} + archive_entry_mtime_nsec(entry);
    }
    const mode_t type = archive_entry_filetype(entry);
    const char* link = archive_entry_hardlink(entry);
    const bool is_directory = link == nullptr && S_ISDIR(type);
    bool below;
    if (IsExcluded(options_, Join(parts), &below) && (below || !is_directory)) return Status();
    if (parts.empty()) {
      if (is_directory) SetDirectory(PackTree::kRoot, std::move(inode));
      return Status();
    }
    const std::string_view name = parts.back();
    parts.pop_back();
    uint32_t parent;
    USETL_RETURN_IF_ERROR(Directory(parts, &parent));
    if (name.starts_with(kWhiteoutPrefix)) return AddWhiteout(parent, name);
    if (link != nullptr) return AddHardLink(parent, name, link);
    if (is_directory) {
      inode.type = abi::PackType::kDirectory;
      return AddSubdirectory(parent, name, std::move(inode));
    }
    if (S_ISLNK(type)) {
      const char* target = archive_entry_symlink(entry);
      if (target == nullptr || *target == 0) return Status(EINVAL, "symbolic link without target");
      inode.type = abi::PackType::kSymlink;
      inode.target = target;
      if (inode.target.size() >= kMaxPath) return Status(ENAMETOOLONG, "target too long");
    } else if (S_ISREG(type)) {
      USETL_RETURN_IF_ERROR(Spool(&inode));
    } else {
      return Status();  // devices, FIFOs
    }
    tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
    return Status();
  }

  // Sets what an archive says of a directory that is there already; opaqueness stays.
  void SetDirectory(uint32_t node, PackInode inode) {
    inode.type = tree_->inode_of(node).type;
    tree_->inode_of(node) = std::move(inode);
  }

  Status AddSubdirectory(uint32_t parent, std::string_view name, PackInode inode) {
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

  Status AddWhiteout(uint32_t parent, std::string_view name) {
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

  Status AddHardLink(uint32_t parent, std::string_view name, const char* link) {
    std::vector<std::string_view> parts;
    USETL_RETURN_IF_ERROR(Split(link, &parts));
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

  // Unpacks the content of the current entry. Holes of sparse files stay holes of the spool.
  Status Spool(PackInode* inode) {
    inode->source = source_;
    inode->source_offset = spooled_;
    while (true) {
      const void* data;
      size_t size;
      la_int64_t offset;
      const int result = archive_read_data_block(archive_.get(), &data, &size, &offset);
      if (result != ARCHIVE_OK && result != ARCHIVE_EOF) return Failure();
      // The last "block" of a sparse file has no bytes and stands at its end.
      const uint64_t left = options_.max_bytes - spooled_;
      if (offset < 0 || static_cast<uint64_t>(offset) > left || size > left - offset) {
        return Status(EFBIG, "unpacks to too many bytes");
      }
      if (result == ARCHIVE_EOF) break;
      inode->size = std::max<uint64_t>(inode->size, offset + size);
      const uint8_t* bytes = static_cast<const uint8_t*>(data);
      for (size_t done = 0; done < size;) {
        const ssize_t n = pwrite(tree_->source(source_), bytes + done, size - done,
                                 spooled_ + offset + done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return Status::Errno("write temporary file");
        done += n;
      }
    }
    spooled_ += inode->size;
    if (inode->size > 0 && ftruncate(tree_->source(source_), spooled_) != 0) {
      return Status::Errno("extend temporary file");
    }
    return Status();
  }

  const SourceOptions& options_;
  PackTree* tree_;
  std::unique_ptr<archive, CloseArchive> archive_;
  int32_t source_ = -1;
  uint64_t spooled_ = 0;
  uint64_t entries_ = 0;
};

}  // namespace

Status AddArchive(int archive_fd, const std::string& spool_directory, const SourceOptions& options,
                  PackTree* tree) {
  return Unpacker(options, tree).Run(archive_fd, spool_directory).Annotate("layer archive");
}

}  // namespace usetl::pack
