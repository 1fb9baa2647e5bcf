#include "vmm/proxy/pod/mount_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace usetl::pod {
namespace {

using abi::MountOp;

constexpr size_t kMaxComponent = 255;
constexpr mode_t kFileMode = 0777, kDirectoryMode = 01777;

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

Fd OpenBelow(int root, const std::string& path, uint64_t flags, mode_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return Fd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

// A file to write: never one that waits for somebody or does something when it is opened.
Fd OpenFile(int root, const std::string& path, uint64_t flags, mode_t mode = 0) {
  Fd file = OpenBelow(root, path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
  struct stat info;
  if (!file.ok() || (fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode))) return file;
  errno = EPERM;
  return Fd();
}

// The directory of a path's last name.
struct Place {
  Fd directory;
  std::string name;

  Place(int root, std::string_view path) : name(path.substr(path.rfind('/') + 1)) {
    const size_t slash = path.rfind('/');
    const std::string parent(slash == path.npos ? "." : path.substr(0, slash));
    directory = OpenBelow(root, parent, O_PATH | O_DIRECTORY);
  }
  bool ok() const { return directory.ok(); }
  int at() const { return directory.get(); }
};

int Error(int result) { return result == 0 ? 0 : errno; }

int ChangeMode(int root, const std::string& path, mode_t mode) {
  Fd file = OpenBelow(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!file.ok() && errno == EACCES) file = OpenFile(root, path, O_WRONLY);
  return file.ok() ? Error(fchmod(file.get(), mode)) : errno;
}

}  // namespace

Result<MountOrder> ReadMountChange(std::span<const uint8_t> payload) {
  MountOrder order;
  if (payload.size() < sizeof order.change) return Status(EPROTO, "a change of a mount: too short");
  std::memcpy(&order.change, payload.data(), sizeof order.change);
  const std::string_view texts(reinterpret_cast<const char*>(payload.data()) + sizeof order.change,
                               payload.size() - sizeof order.change);
  if (order.change.path_size > texts.size() ||
      order.change.text_size != texts.size() - order.change.path_size) {
    return Status(EPROTO, "a change of a mount: sizes do not match");
  }
  order.path = texts.substr(0, order.change.path_size);
  order.text = texts.substr(order.change.path_size);
  return order;
}

int MountWriter::Apply(const MountOrder& order) const {
  if (!Has(order.change.mount)) return EINVAL;
  if (!order.path.empty() && !PlainPath(order.path)) return EINVAL;
  const int root = roots_[order.change.mount - first_].get();
  struct stat info;
  if (fstat(root, &info) != 0) return errno;
  return S_ISDIR(info.st_mode) ? ApplyToDirectory(root, order) : ApplyToFile(root, order);
}

int MountWriter::ApplyToFile(int file, const MountOrder& order) const {
  if (!order.path.empty()) return ENOTDIR;
  switch (order.change.op) {
    case MountOp::kWrite:
      return Write(file, order.change);
    case MountOp::kTruncate:
      if (order.change.position > region_->size()) return EFBIG;
      return Error(ftruncate(file, static_cast<off_t>(order.change.position)));
    default:
      return EPERM;
  }
}

int MountWriter::ApplyToDirectory(int root, const MountOrder& order) const {
  const abi::MountChange& change = order.change;
  const std::string path(order.path.empty() ? "." : order.path);
  if (change.op == MountOp::kMode) return ChangeMode(root, path, change.mode & kDirectoryMode);
  if (order.path.empty()) return EBUSY;
  switch (change.op) {
    case MountOp::kCreate:
    case MountOp::kReplace: {
      const int how = change.op == MountOp::kCreate ? O_EXCL : O_TRUNC;
      return OpenFile(root, path, O_WRONLY | O_CREAT | how, change.mode & kFileMode).ok() ? 0
                                                                                          : errno;
    }
    case MountOp::kWrite:
    case MountOp::kTruncate: {
      const Fd file = OpenFile(root, path, O_WRONLY);
      if (!file.ok()) return errno;
      if (change.op == MountOp::kWrite) return Write(file.get(), change);
      if (change.position > region_->size()) return EFBIG;
      return Error(ftruncate(file.get(), static_cast<off_t>(change.position)));
    }
    default:
      break;
  }
  const Place place(root, path);
  if (!place.ok()) return errno;
  switch (change.op) {
    case MountOp::kMakeDirectory:
      return Error(mkdirat(place.at(), place.name.c_str(), change.mode & kDirectoryMode));
    case MountOp::kRemove:
      return Error(unlinkat(place.at(), place.name.c_str(), 0));
    case MountOp::kRemoveDirectory:
      return Error(unlinkat(place.at(), place.name.c_str(), AT_REMOVEDIR));
    case MountOp::kSymlink: {
      const std::string target(order.text);
      if (target.empty() || target.size() > abi::kMaxName || target.find('\0') != target.npos) {
        return EINVAL;
      }
      return Error(symlinkat(target.c_str(), place.at(), place.name.c_str()));
    }
    case MountOp::kRename: {
      if (!PlainPath(order.text)) return EINVAL;
      const Place to(root, order.text);
      if (!to.ok()) return errno;
      return Error(renameat(place.at(), place.name.c_str(), to.at(), to.name.c_str()));
    }
    default:
      return EINVAL;
  }
}

int MountWriter::Write(int file, const abi::MountChange& change) const {
  const Result<std::span<const uint8_t>> bytes = region_->Span(change.offset, change.size);
  if (!bytes.ok()) return EINVAL;
  if (change.position > region_->size() || change.size > region_->size() - change.position) {
    return EFBIG;
  }
  for (size_t done = 0; done < bytes->size();) {
    const ssize_t count = pwrite(file, bytes->data() + done, bytes->size() - done,
                                 static_cast<off_t>(change.position + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return EIO;
    done += static_cast<size_t>(count);
  }
  return 0;
}

}  // namespace usetl::pod
