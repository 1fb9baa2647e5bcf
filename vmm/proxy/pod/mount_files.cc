#include "vmm/proxy/pod/mount_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vmm/proxy/pod/mount_paths.h"

namespace usetl::pod {
namespace {

using abi::MountOp;

constexpr mode_t kFileMode = 0777;

// What a file is opened with. -1: what no kernel would ask for.
int OpenFlags(const abi::MountChange& change) {
  if (change.op == MountOp::kCreate) return O_RDWR | O_CREAT | O_EXCL;
  if (change.op == MountOp::kReplace) return O_RDWR | O_CREAT | O_TRUNC;
  const bool reads = (change.flags & abi::kMountReads) != 0;
  const bool writes = (change.flags & abi::kMountWrites) != 0;
  if (!writes && (!reads || (change.flags & abi::kMountTruncates) != 0)) return -1;
  return (writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY) |
         ((change.flags & abi::kMountTruncates) != 0 ? O_TRUNC : 0);
}

}  // namespace

MountAnswer MountFiles::Open(int root, const MountOrder& order) {
  const abi::MountChange& change = order.change;
  const int flags = OpenFlags(change);
  if (flags < 0) return MountAnswer::Error(EINVAL);
  auto place = std::ranges::find_if(files_, [](const Fd& file) { return !file.ok(); });
  if (place == files_.end() && files_.size() == abi::kMaxMountHandles) {
    return MountAnswer::Error(ENFILE);
  }
  Fd file = OpenFileBelow(root, std::string(order.path), static_cast<uint64_t>(flags),
                          (flags & O_CREAT) != 0 ? change.mode & kFileMode : 0);
  if (!file.ok()) return MountAnswer::Error(errno);
  const uint64_t size = (change.flags & abi::kMountReads) != 0 ? change.size : 0;
  MountAnswer answer = Read(file.get(), 0, size);
  if (answer.done.error != 0) return answer;
  if (place == files_.end()) place = files_.emplace(place);
  *place = std::move(file);
  answer.done.handle = static_cast<uint32_t>(place - files_.begin());
  return answer;
}

MountAnswer MountFiles::Apply(const abi::MountChange& change) {
  if (change.handle >= files_.size() || !files_[change.handle].ok()) {
    return MountAnswer::Error(EBADF);
  }
  const int file = files_[change.handle].get();
  if (change.op == MountOp::kRead) return Read(file, change.position, change.size);
  if (change.op == MountOp::kSpace) return SpaceOf(file);
  if (change.op == MountOp::kSync) return MountAnswer::Error(fsync(file) == 0 ? 0 : errno);
  return Change(file, change);
}

MountAnswer MountFiles::Change(int file, const abi::MountChange& change) {
  Written written{0, EINVAL};
  if (change.op == MountOp::kWrite) {
    written = WriteMounted(file, change, *region_);
    if (written.bytes != 0) written.error = 0;  // as write(2) says it
  } else if (change.op == MountOp::kTruncate) {
    written.error = TruncateMounted(file, change);
  } else if (change.op == MountOp::kMode) {
    written.error = ChangeModeMounted(file, change);
  } else if (change.op == MountOp::kTimes) {
    written.error = ChangeTimesMounted(file, change);
  }
  struct stat info;
  if (fstat(file, &info) != 0) return MountAnswer::Error(errno);
  MountAnswer answer = MountAnswer::Error(written.error);
  answer.files.push_back(Describe(info));
  answer.done.size = written.bytes;
  return answer;
}

MountAnswer MountFiles::Read(int file, uint64_t position, uint64_t size) {
  struct stat info;
  if (fstat(file, &info) != 0) return MountAnswer::Error(errno);
  if (position > INT64_MAX) return MountAnswer::Error(EINVAL);
  MountAnswer answer = MountAnswer::Error(0);
  answer.files.push_back(Describe(info));
  const size_t wanted = std::min<uint64_t>(size, buffer_.size());
  size_t done = 0;
  while (done < wanted) {
    const ssize_t count =
        pread(file, buffer_.data() + done, wanted - done, static_cast<off_t>(position + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return MountAnswer::Error(errno);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  answer.done.size = done;
  return answer;
}

void MountFiles::Close(uint32_t handle) {
  if (handle < files_.size()) files_[handle].Reset();
}

}  // namespace usetl::pod
