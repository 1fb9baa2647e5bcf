#include "vmm/proxy/pod/mount_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "vmm/proxy/pod/mount_paths.h"

namespace usetl::pod {
namespace {

using abi::MountOp;

constexpr mode_t kDirectoryMode = 01777;

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

// Takes no permission but the owner's, and follows no link that somebody puts there meanwhile.
int ChangeMode(int root, const std::string& path, mode_t mode) {
  const Fd file = OpenBelow(root, path, O_PATH | O_NOFOLLOW);
  struct stat info;
  if (!file.ok() || fstat(file.get(), &info) != 0) return errno;
  if (S_ISLNK(info.st_mode)) return ELOOP;
  const long changed = syscall(kChangeModeAt, file.get(), "", mode, AT_EMPTY_PATH);
  if (changed == 0 || errno != ENOSYS) return Error(static_cast<int>(changed));
  // Before Linux 6.6: who may neither read nor write it is told EACCES.
  Fd opened = OpenBelow(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!opened.ok() && errno == EACCES) opened = OpenFileBelow(root, path, O_WRONLY);
  return opened.ok() ? Error(fchmod(opened.get(), mode)) : errno;
}

timespec TimeOf(uint64_t ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  if (ns == abi::kMountTimeStays) return {0, UTIME_OMIT};
  if (ns == abi::kMountTimeNow) return {0, UTIME_NOW};
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}

// Of a link: its own, as the guest has followed those that it meant to.
int ChangeTimes(int root, const std::string& path, const abi::MountChange& change) {
  const Place place(root, path);
  if (!place.ok()) return errno;
  const timespec times[] = {TimeOf(change.offset), TimeOf(change.position)};
  return Error(utimensat(place.at(), place.name.c_str(), times, AT_SYMLINK_NOFOLLOW));
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
  if (order.change.path_size > abi::kMaxName || order.change.text_size > abi::kMaxName) {
    return Status(EPROTO, "a change of a mount: a path is too long");
  }
  order.path = texts.substr(0, order.change.path_size);
  order.text = texts.substr(order.change.path_size);
  return order;
}

int TruncateMounted(int file, const abi::MountChange& change) {
  if (change.position > INT64_MAX) return EFBIG;
  return Error(ftruncate(file, static_cast<off_t>(change.position)));
}

int ChangeModeMounted(int file, const abi::MountChange& change) {
  return Error(fchmod(file, change.mode & kDirectoryMode));
}

int ChangeTimesMounted(int file, const abi::MountChange& change) {
  const timespec times[] = {TimeOf(change.offset), TimeOf(change.position)};
  return Error(futimens(file, times));
}

Written WriteMounted(int file, const abi::MountChange& change, const GuestRegionView& region) {
  const Result<std::span<const uint8_t>> bytes = region.Span(change.offset, change.size);
  if (!bytes.ok()) return {0, EINVAL};
  const bool append = (change.flags & abi::kMountAppend) != 0;
  const uint64_t position = append ? 0 : change.position;
  if (position > INT64_MAX - bytes->size()) return {0, EFBIG};
  size_t done = 0;
  while (done < bytes->size()) {
    iovec rest{const_cast<uint8_t*>(bytes->data()) + done, bytes->size() - done};
    const ssize_t count =
        append ? pwritev2(file, &rest, 1, -1, RWF_APPEND)
               : pwrite(file, rest.iov_base, rest.iov_len, static_cast<off_t>(position + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {done, errno};
    if (count == 0) return {done, EIO};
    done += static_cast<size_t>(count);
  }
  return {done, 0};
}

int MountWriter::Apply(const MountOrder& order) const {
  if (!Has(order.change.mount)) return EINVAL;
  if (!order.path.empty() && !PlainPath(order.path)) return EINVAL;
  const int root = this->root(order.change.mount);
  struct stat info;
  if (fstat(root, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return ApplyToDirectory(root, order);
  return order.path.empty() ? ApplyToFile(root, order.change) : ENOTDIR;
}

int MountWriter::ApplyToFile(int file, const abi::MountChange& change) const {
  switch (change.op) {
    case MountOp::kWrite:
      return WriteMounted(file, change, *region_).error;
    case MountOp::kTruncate:
      return TruncateMounted(file, change);
    default:
      return EPERM;
  }
}

int MountWriter::ApplyToDirectory(int root, const MountOrder& order) const {
  const abi::MountChange& change = order.change;
  const std::string path(order.path.empty() ? "." : order.path);
  if (change.op == MountOp::kMode) return ChangeMode(root, path, change.mode & kDirectoryMode);
  if (change.op == MountOp::kTimes) return ChangeTimes(root, path, change);
  if (order.path.empty()) return EBUSY;
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

}  // namespace usetl::pod
