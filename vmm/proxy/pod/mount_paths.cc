#include "vmm/proxy/pod/mount_paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace usetl::pod {
namespace {

constexpr size_t kMaxComponent = 255;

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Clocks of file systems tick up to 2 s apart, that of another machine may be off as well.
bool IsSettled(uint64_t changed_ns) {
  constexpr uint64_t kTickNs = 3'000'000'000;
  timespec now;
  return clock_gettime(CLOCK_REALTIME, &now) == 0 && changed_ns < Nanoseconds(now) &&
         Nanoseconds(now) - changed_ns > kTickNs;
}

}  // namespace

bool PlainPath(std::string_view path) {
  if (path.size() > abi::kMaxName || path.find('\0') != path.npos) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxComponent) return false;
    at = end + 1;
  }
  return true;
}

Fd OpenBelow(int root, const std::string& path, uint64_t flags, mode_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return Fd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

Fd OpenFileBelow(int root, const std::string& path, uint64_t flags, mode_t mode) {
  Fd file = OpenBelow(root, path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
  struct stat info;
  if (!file.ok() || (fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode))) return file;
  errno = EPERM;
  return Fd();
}

abi::MountedFile Describe(const struct stat& info) {
  abi::MountedFile file{};
  file.inode = info.st_ino;
  file.device = info.st_dev;
  file.size = static_cast<uint64_t>(info.st_size);
  file.blocks = static_cast<uint64_t>(info.st_blocks);
  file.modified_ns = Nanoseconds(info.st_mtim);
  file.changed_ns = Nanoseconds(info.st_ctim);
  file.links = static_cast<uint32_t>(info.st_nlink);
  file.type = S_ISREG(info.st_mode)   ? abi::FileType::kRegular
              : S_ISDIR(info.st_mode) ? abi::FileType::kDirectory
              : S_ISLNK(info.st_mode) ? abi::FileType::kSymlink
                                      : abi::FileType::kNone;
  file.mode = info.st_mode & 07777;
  file.settled = IsSettled(file.changed_ns) ? 1 : 0;
  return file;
}

}  // namespace usetl::pod
