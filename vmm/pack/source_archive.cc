#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "vmm/pack/layer_tree.h"
#include "vmm/pack/pack_tree.h"

namespace usetl::pack {
namespace {

constexpr size_t kReadSize = 256 << 10;
struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, CloseArchive>;

Status Failure(const Archive& archive) {
  const char* text = archive_error_string(archive.get());
  if (text != nullptr && std::string_view(text).starts_with("Unrecognized archive format")) {
    text = "no tar archive, plain or compressed with gzip, zstd or xz; give one, or a directory";
  }
  return Status(EBADMSG, text != nullptr ? text : "malformed");
}

Result<Archive> OpenArchive(int fd) {
  Archive archive(archive_read_new());
  if (!archive) return Status(ENOMEM, "no memory for reading an archive");
  archive_read_support_filter_gzip(archive.get());
  archive_read_support_filter_zstd(archive.get());
  archive_read_support_filter_xz(archive.get());
  archive_read_support_format_tar(archive.get());
  archive_read_support_format_empty(archive.get());
  if (archive_read_open_fd(archive.get(), fd, kReadSize) != ARCHIVE_OK) return Failure(archive);
  return archive;
}

// The next entry; null at the end.
Result<archive_entry*> NextEntry(const Archive& archive) {
  archive_entry* entry;
  const int result = archive_read_next_header(archive.get(), &entry);
  if (result == ARCHIVE_EOF) return static_cast<archive_entry*>(nullptr);
  // A warning is about a name's character set; the bytes are there.
  if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failure(archive);
  return entry;
}

class Unpacker {
 public:
  Unpacker(const SourceOptions& options, PackTree* tree)
      : options_(options), tree_(tree), layer_(options, tree) {}

  Status Run(int fd, const std::string& spool_directory) {
    Fd spool(open(spool_directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!spool.ok()) return Status::Errno("make a temporary file in " + spool_directory);
    source_ = tree_->AddSource(std::move(spool));
    Result<Archive> opened = OpenArchive(fd);
    if (!opened.ok()) return opened.status();
    archive_ = std::move(*opened);
    while (true) {
      const Result<archive_entry*> entry = NextEntry(archive_);
      if (!entry.ok()) return entry.status();
      if (*entry == nullptr) return Status();
      USETL_RETURN_IF_ERROR(layer_.CountEntry());
      USETL_RETURN_IF_ERROR(Add(*entry));
    }
  }

 private:
  Status Add(archive_entry* entry) {
    std::vector<std::string_view> parts;
    USETL_RETURN_IF_ERROR(SplitPath(archive_entry_pathname(entry), &parts));
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
    if (IsExcluded(options_, JoinPath(parts), &below) && (below || !is_directory)) return Status();
    if (parts.empty()) {
      if (is_directory) layer_.SetDirectory(PackTree::kRoot, std::move(inode));
      return Status();
    }
    const std::string_view name = parts.back();
    parts.pop_back();
    uint32_t parent;
    USETL_RETURN_IF_ERROR(layer_.Directory(parts, &parent));
    if (LayerTree::IsWhiteout(name)) return layer_.AddWhiteout(parent, name);
    if (link != nullptr) return layer_.AddHardLink(parent, name, link);
    if (is_directory) {
      inode.type = abi::PackType::kDirectory;
      return layer_.AddSubdirectory(parent, name, std::move(inode));
    }
    if (S_ISLNK(type)) {
      const char* target = archive_entry_symlink(entry);
      if (target == nullptr || *target == 0) return Status(EINVAL, "symbolic link without target");
      inode.type = abi::PackType::kSymlink;
      inode.target = target;
      if (inode.target.size() >= kMaxLayerPath) return Status(ENAMETOOLONG, "target too long");
    } else if (S_ISREG(type)) {
      USETL_RETURN_IF_ERROR(Spool(&inode));
    } else {
      return Status();  // devices, FIFOs
    }
    tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
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
      if (result != ARCHIVE_OK && result != ARCHIVE_EOF) return Failure(archive_);
      // The last "block" of a sparse file has no bytes and stands at its end.
      const uint64_t left = options_.max_bytes - spooled_;
      if (offset < 0 || static_cast<uint64_t>(offset) > left || size > left - offset) {
        return Status(EFBIG, "unpacks to too many bytes");
      }
      if (result == ARCHIVE_EOF) break;
      inode->size = std::max<uint64_t>(inode->size, offset + size);
      const uint8_t* bytes = static_cast<const uint8_t*>(data);
      for (size_t done = 0; done < size;) {
        const ssize_t n =
            pwrite(tree_->source(source_), bytes + done, size - done, spooled_ + offset + done);
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
  LayerTree layer_;
  Archive archive_;
  int32_t source_ = -1;
  uint64_t spooled_ = 0;
};

}  // namespace

Status AddArchive(int archive_fd, const std::string& spool_directory, const SourceOptions& options,
                  PackTree* tree) {
  return Unpacker(options, tree).Run(archive_fd, spool_directory).Annotate("layer archive");
}

Result<std::string> FirstName(int archive_fd) {
  const Result<Archive> archive = OpenArchive(archive_fd);
  if (!archive.ok()) return archive.status();
  for (;;) {
    const Result<archive_entry*> entry = NextEntry(*archive);
    if (!entry.ok()) return entry.status();
    if (*entry == nullptr) return std::string();
    std::vector<std::string_view> parts;
    USETL_RETURN_IF_ERROR(SplitPath(archive_entry_pathname(*entry), &parts));
    if (!parts.empty()) return std::string(parts.front());
  }
}

}  // namespace usetl::pack
