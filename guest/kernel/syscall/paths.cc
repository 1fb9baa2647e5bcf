// paths.cc: system calls that name files.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/operations.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/fs/space.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/host/clock.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/fcntl.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

uint32_t g_umask = 022;

// A path of the application with the directory it starts at.
class PathArgument {
 public:
  PathArgument(int directory, const char* user) {
    const int64_t length = CopyStringFromUser(text_, user, sizeof text_);
    if (length < 0) {
      error_ = length;
    } else if (text_[0] == '/' || directory == kAtCurrent) {
      base_ = CurrentDirectory();
    } else if (File* file = GetFile(directory); file == nullptr) {
      error_ = -EBADF;
    } else if ((base_ = DirectoryOf(file)) == nullptr && text_[0] != 0) {
      error_ = -ENOTDIR;
    }
  }
  int64_t error() const { return error_; }
  Node* base() const { return base_; }
  const char* text() const { return text_; }
  bool empty() const { return text_[0] == 0; }

 private:
  int64_t error_ = 0;
  Node* base_ = nullptr;
  char text_[kPathMax];
};

int64_t StatAt(int directory, const char* path, int flags, Stat* stat) {
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  if (argument.empty() && (flags & kAtEmptyPath)) {
    if (directory == kAtCurrent) return StatPath(CurrentDirectory(), ".", true, stat);
    File* file = GetFile(directory);
    return file == nullptr ? -EBADF : file->GetStat(stat);
  }
  return StatPath(argument.base(), argument.text(), !(flags & kAtNoFollow), stat);
}

// The inode for calls that change metadata.
int64_t InodeAt(int directory, const char* path, int flags, Inode** inode) {
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  if (argument.empty() && (flags & kAtEmptyPath)) {
    *inode = InodeOf(GetFile(directory));
    return *inode == nullptr ? -EBADF : 0;
  }
  return FindInode(argument.base(), argument.text(), !(flags & kAtNoFollow), inode);
}

int64_t InodeOfDescriptor(int fd, Inode** inode) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  *inode = InodeOf(file);
  if (*inode == nullptr && DirectoryOf(file) != nullptr) *inode = DirectoryOf(file)->inode;
  return *inode == nullptr ? -EPERM : 0;
}

// A file's mode or times on the host. Of an open one not by its name, which may be another's by
// now, or nobody's.
int64_t ChangeOnHost(Inode* inode, const HostChange& change) {
  if (!IsOpenHostFile(inode)) return ChangeFile(inode, change);
  const int64_t refused = MayChangeFile(inode);
  return refused != 0 ? refused : ChangeHostFile(inode, change);
}

int64_t ChangeMode(int64_t error, Inode* inode, uint32_t mode) {
  if (error != 0) return error;
  mode &= 07777;
  const int64_t refused = ChangeOnHost(inode, {.op = abi::MountOp::kMode, .mode = mode & 01777});
  if (refused != 0) return refused;
  inode->mode = static_cast<uint16_t>(mode);
  inode->changed_ns = Realtime();
  PublishInode(inode, nullptr);
  return 0;
}

int64_t ChangeOwner(int64_t error, Inode* inode, uint32_t uid, uint32_t gid) {
  constexpr uint32_t kKeep = ~0u;
  if (error != 0) return error;
  if (const int64_t refused = MayChangeFile(inode); refused != 0) return refused;
  if (uid != kKeep) inode->uid = uid;
  if (gid != kKeep) inode->gid = gid;
  inode->changed_ns = Realtime();
  PublishInode(inode, nullptr);
  return 0;
}

int64_t PutStat(int64_t error, const Stat& stat, Stat* user) {
  if (error != 0) return error;
  return PutUser(user, stat) ? 0 : -EFAULT;
}

int64_t PutStatFs(int64_t error, const StatFs& info, StatFs* user) {
  if (error != 0) return error;
  return PutUser(user, info) ? 0 : -EFAULT;
}

}  // namespace

extern "C" {

int64_t sys_openat(int directory, const char* path, int flags, uint32_t mode) {
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  File* file = nullptr;
  const int64_t error = OpenPath(argument.base(), argument.text(), flags, mode & ~g_umask, &file);
  return error != 0 ? error : InstallFile(file, flags & static_cast<int>(kCloseOnExec));
}
int64_t sys_open(const char* path, int flags, uint32_t mode) {
  return sys_openat(kAtCurrent, path, flags, mode);
}
int64_t sys_creat(const char* path, uint32_t mode) {
  return sys_openat(kAtCurrent, path, kOpenCreate | kOpenTruncate | 1, mode);
}

int64_t sys_newfstatat(int directory, const char* path, Stat* user, int flags) {
  Stat stat{};
  return PutStat(StatAt(directory, path, flags, &stat), stat, user);
}
int64_t sys_stat(const char* path, Stat* user) { return sys_newfstatat(kAtCurrent, path, user, 0); }
int64_t sys_lstat(const char* path, Stat* user) {
  return sys_newfstatat(kAtCurrent, path, user, kAtNoFollow);
}

int64_t sys_statx(int directory, const char* path, int flags, uint32_t, Statx* user) {
  Stat s{};
  if (const int64_t error = StatAt(directory, path, flags, &s); error != 0) return error;
  constexpr uint32_t kBasicStats = 0x7ff;
  Statx x{};
  x.mask = kBasicStats;
  x.block_size = static_cast<uint32_t>(s.block_size);
  x.links = static_cast<uint32_t>(s.links);
  x.uid = s.uid, x.gid = s.gid;
  x.mode = static_cast<uint16_t>(s.mode);
  x.inode = s.inode;
  x.size = static_cast<uint64_t>(s.size);
  x.blocks = static_cast<uint64_t>(s.blocks);
  x.modify = {static_cast<int64_t>(s.modify_seconds), static_cast<uint32_t>(s.modify_ns), 0};
  x.access = {static_cast<int64_t>(s.access_seconds), static_cast<uint32_t>(s.access_ns), 0};
  x.change = {static_cast<int64_t>(s.change_seconds), static_cast<uint32_t>(s.change_ns), 0};
  x.device_minor = static_cast<uint32_t>(s.device);
  return PutUser(user, x) ? 0 : -EFAULT;
}

int64_t sys_faccessat2(int directory, const char* path, int mode, int flags) {
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  return CheckAccess(argument.base(), argument.text(), mode, !(flags & kAtNoFollow));
}
int64_t sys_faccessat(int directory, const char* path, int mode) {
  return sys_faccessat2(directory, path, mode, 0);
}
int64_t sys_access(const char* path, int mode) { return sys_faccessat2(kAtCurrent, path, mode, 0); }

int64_t sys_mkdirat(int directory, const char* path, uint32_t mode) {
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  return MakeDirectory(argument.base(), argument.text(), mode & ~g_umask);
}
int64_t sys_mkdir(const char* path, uint32_t mode) { return sys_mkdirat(kAtCurrent, path, mode); }

int64_t sys_unlinkat(int directory, const char* path, int flags) {
  if (flags & ~kAtRemoveDirectory) return -EINVAL;
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  return Remove(argument.base(), argument.text(), flags & kAtRemoveDirectory);
}
int64_t sys_unlink(const char* path) { return sys_unlinkat(kAtCurrent, path, 0); }
int64_t sys_rmdir(const char* path) { return sys_unlinkat(kAtCurrent, path, kAtRemoveDirectory); }

int64_t sys_renameat2(int from_directory, const char* from, int to_directory, const char* to,
                      uint32_t flags) {
  PathArgument source(from_directory, from), target(to_directory, to);
  if (source.error() != 0) return source.error();
  if (target.error() != 0) return target.error();
  return Rename(source.base(), source.text(), target.base(), target.text(), flags);
}
int64_t sys_renameat(int from_directory, const char* from, int to_directory, const char* to) {
  return sys_renameat2(from_directory, from, to_directory, to, 0);
}
int64_t sys_rename(const char* from, const char* to) {
  return sys_renameat2(kAtCurrent, from, kAtCurrent, to, 0);
}

int64_t sys_linkat(int from_directory, const char* from, int to_directory, const char* to,
                   int flags) {
  PathArgument source(from_directory, from), target(to_directory, to);
  if (source.error() != 0) return source.error();
  if (target.error() != 0) return target.error();
  return MakeLink(source.base(), source.text(), target.base(), target.text(), flags & kAtFollow);
}
int64_t sys_link(const char* from, const char* to) {
  return sys_linkat(kAtCurrent, from, kAtCurrent, to, 0);
}

int64_t sys_symlinkat(const char* target, int directory, const char* path) {
  PathArgument text(kAtCurrent, target), argument(directory, path);
  if (text.error() != 0) return text.error();
  if (argument.error() != 0) return argument.error();
  return MakeSymlink(text.text(), argument.base(), argument.text());
}
int64_t sys_symlink(const char* target, const char* path) {
  return sys_symlinkat(target, kAtCurrent, path);
}

int64_t sys_readlinkat(int directory, const char* path, char* user, int64_t size) {
  if (size <= 0) return -EINVAL;
  PathArgument argument(directory, path);
  if (argument.error() != 0) return argument.error();
  char target[kPathMax];
  const uint64_t room = static_cast<uint64_t>(size) < sizeof target ? size : sizeof target;
  const int64_t length = ReadLinkPath(argument.base(), argument.text(), target, room);
  if (length < 0) return length;
  return CopyToUser(user, target, static_cast<uint64_t>(length)) ? length : -EFAULT;
}
int64_t sys_readlink(const char* path, char* user, int64_t size) {
  return sys_readlinkat(kAtCurrent, path, user, size);
}

int64_t sys_fchmodat(int directory, const char* path, uint32_t mode) {
  Inode* inode = nullptr;
  const int64_t error = InodeAt(directory, path, 0, &inode);
  return ChangeMode(error, inode, mode);
}
int64_t sys_chmod(const char* path, uint32_t mode) { return sys_fchmodat(kAtCurrent, path, mode); }
int64_t sys_fchmod(int fd, uint32_t mode) {
  Inode* inode = nullptr;
  const int64_t error = InodeOfDescriptor(fd, &inode);
  return ChangeMode(error, inode, mode);
}

int64_t sys_fchownat(int directory, const char* path, uint32_t uid, uint32_t gid, int flags) {
  Inode* inode = nullptr;
  const int64_t error = InodeAt(directory, path, flags, &inode);
  return ChangeOwner(error, inode, uid, gid);
}
int64_t sys_chown(const char* path, uint32_t uid, uint32_t gid) {
  return sys_fchownat(kAtCurrent, path, uid, gid, 0);
}
int64_t sys_lchown(const char* path, uint32_t uid, uint32_t gid) {
  return sys_fchownat(kAtCurrent, path, uid, gid, kAtNoFollow);
}
int64_t sys_fchown(int fd, uint32_t uid, uint32_t gid) {
  Inode* inode = nullptr;
  const int64_t error = InodeOfDescriptor(fd, &inode);
  return ChangeOwner(error, inode, uid, gid);
}

int64_t sys_utimensat(int directory, const char* path, const TimeSpec* user, int flags) {
  constexpr int64_t kNow = 0x3fffffff, kOmit = 0x3ffffffe;
  TimeSpec times[2] = {{0, kNow}, {0, kNow}};
  if (user != nullptr && !CopyFromUser(times, user, sizeof times)) return -EFAULT;
  Inode* inode = nullptr;
  const int64_t error = path == nullptr ? InodeOfDescriptor(directory, &inode)
                                        : InodeAt(directory, path, flags, &inode);
  if (error != 0) return error;
  if (const int64_t refused = MayChangeFile(inode); refused != 0) return refused;
  uint64_t* const fields[2] = {&inode->accessed_ns, &inode->modified_ns};
  uint64_t changed[2] = {abi::kMountTimeStays, abi::kMountTimeStays};
  uint64_t asked[2] = {abi::kMountTimeStays, abi::kMountTimeStays};
  for (int i = 0; i < 2; ++i) {
    if (times[i].nanoseconds == kOmit) continue;
    const bool now = times[i].nanoseconds == kNow;
    const int64_t ns = now ? static_cast<int64_t>(Realtime()) : ToNanoseconds(times[i]);
    if (ns < 0) return -EINVAL;
    changed[i] = static_cast<uint64_t>(ns);
    asked[i] = now ? abi::kMountTimeNow : changed[i];
  }
  if (inode->host != nullptr) {
    const int64_t refused =
        ChangeOnHost(inode, {.op = abi::MountOp::kTimes, .offset = asked[0], .position = asked[1]});
    if (refused != 0) return refused;
  }
  for (int i = 0; i < 2; ++i) {
    if (changed[i] != abi::kMountTimeStays) *fields[i] = changed[i];
  }
  inode->changed_ns = Realtime();
  PublishInode(inode, nullptr);
  return 0;
}

int64_t sys_truncate(const char* path, int64_t size) {
  if (size < 0) return -EINVAL;
  PathArgument argument(kAtCurrent, path);
  if (argument.error() != 0) return argument.error();
  return TruncatePath(argument.base(), argument.text(), static_cast<uint64_t>(size));
}

int64_t sys_getcwd(char* user, uint64_t size) {
  char path[kPathMax];
  const int64_t length = PathOf(CurrentDirectory(), path, sizeof path);
  if (length < 0) return length;
  if (static_cast<uint64_t>(length) + 1 > size) return -ERANGE;
  return CopyToUser(user, path, static_cast<uint64_t>(length) + 1) ? length + 1 : -EFAULT;
}

int64_t sys_chdir(const char* path) {
  PathArgument argument(kAtCurrent, path);
  if (argument.error() != 0) return argument.error();
  Walked walked;
  const int64_t error = WalkExisting(argument.base(), argument.text(), true, &walked);
  if (error != 0) return error;
  if (walked.special != nullptr || walked.node->inode->type != InodeType::kDirectory) {
    return -ENOTDIR;
  }
  SetCurrentDirectory(walked.node);
  return 0;
}

int64_t sys_fchdir(int fd) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  Node* node = DirectoryOf(file);
  if (node == nullptr) return -ENOTDIR;
  SetCurrentDirectory(node);
  return 0;
}

int64_t sys_umask(uint32_t mask) {
  const uint32_t before = g_umask;
  g_umask = mask & 0777;
  return before;
}

int64_t sys_statfs(const char* path, StatFs* user) {
  PathArgument argument(kAtCurrent, path);
  if (argument.error() != 0) return argument.error();
  StatFs info{};
  return PutStatFs(SpaceOfPath(argument.base(), argument.text(), &info), info, user);
}
int64_t sys_fstatfs(int fd, StatFs* user) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  StatFs info{};
  return PutStatFs(SpaceOfFile(file, &info), info, user);
}

int64_t sys_memfd_create(const char*, uint32_t flags) {
  constexpr uint32_t kCloexec = 1;
  File* file = NewNamelessFile(0777);
  if (file == nullptr) return -ENOSPC;
  file->status_flags = kReadWriteMode;
  return InstallFile(file, flags & kCloexec);
}

}  // extern "C"
}  // namespace usetl::kernel
