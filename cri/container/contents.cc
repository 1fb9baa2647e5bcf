#include "cri/container/contents.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <climits>
#include <memory>

namespace usetl::cri {
namespace {

constexpr uint64_t kMaxBytes = 32 << 20;
constexpr size_t kMaxEntries = 4096;
constexpr int kMaxDepth = 32;

class Collector {
 public:
  Result<Contents> Finish() {
    if (size_ == 0) contents_.file.Reset();
    return std::move(contents_);
  }

  Status Begin() {
    contents_.file = Fd(memfd_create("usetl-contents", MFD_CLOEXEC));
    return contents_.file.ok() ? Status() : Status::Errno("memfd_create");
  }

  // `fd`: a file or directory of the host, which is `path` in the container.
  Status Add(const Fd& fd, const std::string& path, int depth) {
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return Status::Errno("stat " + path);
    if (++entries_ > kMaxEntries) return Status(E2BIG, "usetl: mounts hold too many files");
    if (S_ISREG(info.st_mode)) return AddFile(fd, path, info.st_mode);
    if (!S_ISDIR(info.st_mode)) {
      return Status(EINVAL, "usetl: mount " + path + ": neither file nor directory");
    }
    if (depth > kMaxDepth) return Status(E2BIG, "usetl: mount " + path + ": too deep");
    return AddDirectory(fd, path, info.st_mode, depth);
  }

 private:
  Status AddFile(const Fd& fd, const std::string& path, mode_t mode) {
    std::array<char, 64 << 10> buffer;
    const uint64_t begin = size_;
    for (;;) {
      const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
      if (count < 0) return Status::Errno("read mount " + path);
      if (count == 0) break;
      if (size_ + count > kMaxBytes) return Status(E2BIG, "usetl: mounts hold more than 32 MB");
      if (write(contents_.file.get(), buffer.data(), count) != count) {
        return Status::Errno("copying mount " + path);
      }
      size_ += count;
    }
    contents_.files.push_back(
        {{"path", path}, {"mode", mode & 07777}, {"offset", begin}, {"size", size_ - begin}});
    return Status();
  }

  Status AddDirectory(const Fd& fd, const std::string& path, mode_t mode, int depth) {
    contents_.directories.push_back({{"path", path}, {"mode", mode & 07777}});
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(
        fdopendir(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)), closedir);
    if (directory == nullptr) return Status::Errno("read mount " + path);
    while (const dirent* entry = readdir(directory.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      USETL_RETURN_IF_ERROR(AddChild(fd, name, path + "/" + name, depth));
    }
    return Status();
  }

  Status AddChild(const Fd& parent, const std::string& name, const std::string& path, int depth) {
    char target[PATH_MAX];
    const ssize_t length = readlinkat(parent.get(), name.c_str(), target, sizeof target);
    if (length > 0) {
      if (++entries_ > kMaxEntries) return Status(E2BIG, "usetl: mounts hold too many files");
      contents_.links.push_back({{"path", path}, {"target", std::string(target, length)}});
      return Status();
    }
    // Non-blocking: nobody waits for the other end of a FIFO.
    const Fd child(
        openat(parent.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!child.ok() && errno == ENXIO) return Status();  // a socket: of no use in a USF
    if (!child.ok()) return Status::Errno("open mount " + path);
    struct stat info;
    if (fstat(child.get(), &info) != 0) return Status::Errno("stat mount " + path);
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return Status();
    return Add(child, path, depth + 1);
  }

  Contents contents_;
  uint64_t size_ = 0;
  size_t entries_ = 0;
};

}  // namespace

Result<Contents> CollectContents(const ContainerRecord& container) {
  Collector collector;
  USETL_RETURN_IF_ERROR(collector.Begin());
  for (const auto& mount : container.config().mounts()) {
    const Fd source(open(mount.host_path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!source.ok()) {
      return Status::Errno("mount " + mount.container_path() + ": open " + mount.host_path());
    }
    USETL_RETURN_IF_ERROR(collector.Add(source, mount.container_path(), 0));
  }
  return collector.Finish();
}

}  // namespace usetl::cri
