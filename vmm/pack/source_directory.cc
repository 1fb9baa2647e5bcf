#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <memory>

#include "vmm/pack/pack_tree.h"

namespace usetl::pack {
namespace {

// Path names longer than this cannot be opened anyway; bounds the recursion as well.
constexpr size_t kMaxPath = 4096;

class Walker {
 public:
  Walker(const SourceOptions& options, PackTree* tree) : options_(options), tree_(tree) {}

  Status Start(const std::string& path) {
    Fd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat info;
    if (!root.ok() || fstat(root.get(), &info) != 0) return Status::Errno("open " + path);
    Describe(info, &tree_->inode_of(PackTree::kRoot));
    source_ = tree_->AddSource(Fd(fcntl(root.get(), F_DUPFD_CLOEXEC, 0)));
    if (tree_->source(source_) < 0) return Status::Errno("dup " + path);
    return Walk(std::move(root), PackTree::kRoot, "").Annotate(path);
  }

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };

  static void Describe(const struct stat& info, PackInode* inode) {
    inode->mode = info.st_mode & 07777;
    inode->uid = info.st_uid;
    inode->gid = info.st_gid;
    const bool before_epoch = info.st_mtim.tv_sec < 0;
    inode->modified_ns =
        before_epoch ? 0 : info.st_mtim.tv_sec * uint64_t{1'000'000'000} + info.st_mtim.tv_nsec;
  }

  Status Walk(Fd fd, uint32_t node, const std::string& path) {
    const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(fd.get()));
    if (!directory) return Status::Errno("read " + path);
    fd.Release();  // closedir() closes it
    while (true) {
      errno = 0;
      const dirent* item = readdir(directory.get());
      if (item == nullptr) break;
      const std::string name = item->d_name;
      if (name == "." || name == "..") continue;
      std::string child_path = path;
      if (!path.empty()) child_path += '/';
      child_path += name;
      if (child_path.size() >= kMaxPath) return Status(ENAMETOOLONG, "name too long in " + path);
      USETL_RETURN_IF_ERROR(Add(dirfd(directory.get()), node, name, child_path));
    }
    return errno == 0 ? Status() : Status::Errno("read " + path);
  }

  Status Add(int directory, uint32_t parent, const std::string& name, const std::string& path) {
    struct stat info;
    if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return Status::Errno("stat " + path);
    }
    bool below;
    const bool excluded = IsExcluded(options_, path, &below);
    if (excluded && !S_ISDIR(info.st_mode)) return Status();
    if (++entries_ > options_.max_entries) return Status(E2BIG, "too many files");
    PackInode inode;
    Describe(info, &inode);
    if (S_ISDIR(info.st_mode)) {
      inode.type = abi::PackType::kDirectory;
      const uint32_t node = tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
      if (excluded) return Status();
      Fd child(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child.ok()) return Status::Errno("open " + path);
      return Walk(std::move(child), node, path);
    }
    if (S_ISLNK(info.st_mode)) {
      inode.type = abi::PackType::kSymlink;
      inode.target.resize(kMaxPath);
      const ssize_t size =
          readlinkat(directory, name.c_str(), inode.target.data(), inode.target.size());
      if (size < 0) return Status::Errno("readlink " + path);
      inode.target.resize(size);
    } else if (S_ISREG(info.st_mode)) {
      return AddRegular(info, parent, name, path, std::move(inode));
    } else {
      return Status();
    }
    tree_->AddName(parent, name, tree_->AddInode(std::move(inode)));
    return Status();
  }

  Status AddRegular(const struct stat& info, uint32_t parent, const std::string& name,
                    const std::string& path, PackInode inode) {
    const std::pair<dev_t, ino_t> key(info.st_dev, info.st_ino);
    if (info.st_nlink > 1) {
      if (const auto found = links_.find(key); found != links_.end()) {
        tree_->AddName(parent, name, found->second);
        return Status();
      }
    }
    inode.size = info.st_size;
    if (inode.size > options_.max_bytes - bytes_) return Status(EFBIG, "too many bytes");
    bytes_ += inode.size;
    inode.source = source_;
    inode.source_path = path;
    const uint32_t number = tree_->AddInode(std::move(inode));
    if (info.st_nlink > 1) links_.emplace(key, number);
    tree_->AddName(parent, name, number);
    return Status();
  }

  const SourceOptions& options_;
  PackTree* tree_;
  int32_t source_ = -1;
  uint64_t entries_ = 0;
  uint64_t bytes_ = 0;
  std::map<std::pair<dev_t, ino_t>, uint32_t> links_;  // files with several names
};

}  // namespace

Status AddDirectory(const std::string& path, const SourceOptions& options, PackTree* tree) {
  return Walker(options, tree).Start(path);
}

}  // namespace usetl::pack
