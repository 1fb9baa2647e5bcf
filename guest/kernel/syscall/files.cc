// files.cc: system calls on descriptors.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/event_file.h"
#include "guest/kernel/file/pipe.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/sparse.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/message.h"

namespace usetl::kernel {
namespace {

constexpr uint32_t kMostVectors = 1024;

bool Readable(const File& file) { return (file.status_flags & kAccessMode) != kWriteOnly; }
bool Writable(const File& file) { return (file.status_flags & kAccessMode) != kReadOnly; }

// Calls `transfer(base, size, done)` for each piece until one is short.
template <typename Transfer>
int64_t ForEachVector(const IoVec* user, uint64_t count, Transfer transfer) {
  if (count > kMostVectors) return -EINVAL;
  int64_t done = 0;
  for (uint64_t i = 0; i < count; ++i) {
    IoVec vector;
    if (!GetUser(&vector, user + i)) return done != 0 ? done : -EFAULT;
    if (static_cast<int64_t>(vector.size) < 0) return -EINVAL;
    if (vector.size == 0) continue;
    const int64_t moved = transfer(vector.base, vector.size, done);
    if (moved < 0) return done != 0 ? done : moved;
    done += moved;
    if (static_cast<uint64_t>(moved) < vector.size) break;
  }
  return done;
}

// A buffer of one call's own: other threads run while it sleeps.
class CopyBuffer {
 public:
  CopyBuffer() = default;
  CopyBuffer(const CopyBuffer&) = delete;
  CopyBuffer& operator=(const CopyBuffer&) = delete;
  ~CopyBuffer() {
    if (bytes_ != nullptr) FreePages(bytes_, kSize / 4096);
  }
  static constexpr uint64_t kSize = 16 << 10;
  // Null: out of memory.
  void* Get() {
    if (bytes_ == nullptr) bytes_ = AllocatePages(kSize / 4096);
    return bytes_;
  }

 private:
  void* bytes_ = nullptr;
};

// A file of a mounted directory: what it holds is elsewhere.
bool IsOnHost(File* file) {
  const Inode* inode = InodeOf(file);
  return inode != nullptr && inode->host != nullptr;
}

// Copies between files through their content in place, or a small buffer.
int64_t CopyBetween(File* from, uint64_t* from_offset, File* to, uint64_t* to_offset,
                    uint64_t size) {
  CopyBuffer buffer;
  uint64_t done = 0;
  while (done < size) {
    const void* source;
    uint64_t chunk = size - done;
    // In place what nobody can move meanwhile.
    const Inode* inode = from_offset != nullptr && !IsOnHost(from) ? InodeOf(from) : nullptr;
    if (inode != nullptr && !inode->own) {
      if (*from_offset >= inode->size) break;
      source = reinterpret_cast<const uint8_t*>(inode->address) + *from_offset;
      if (chunk > inode->size - *from_offset) chunk = inode->size - *from_offset;
    } else {
      if (chunk > CopyBuffer::kSize) chunk = CopyBuffer::kSize;
      void* bytes = buffer.Get();
      if (bytes == nullptr) return done != 0 ? static_cast<int64_t>(done) : -ENOMEM;
      const int64_t got = from_offset != nullptr ? from->ReadAt(bytes, chunk, *from_offset)
                                                 : from->Read(bytes, chunk);
      source = bytes;
      if (got < 0) return done != 0 ? static_cast<int64_t>(done) : got;
      if (got == 0) break;
      chunk = got;
    }
    const int64_t put =
        to_offset != nullptr ? to->WriteAt(source, chunk, *to_offset) : to->Write(source, chunk);
    if (put < 0) return done != 0 ? static_cast<int64_t>(done) : put;
    done += put;
    if (from_offset != nullptr) *from_offset += put;
    if (to_offset != nullptr) *to_offset += put;
    if (static_cast<uint64_t>(put) < chunk) break;
  }
  return static_cast<int64_t>(done);
}

// Where a copying call takes its offset from: a pointer of the application, or the file's position.
struct Position {
  int64_t* user;
  File* file;
  uint64_t offset = 0;
  bool seekable = true;

  int64_t Load() {
    int64_t at = 0;
    if (user != nullptr) {
      if (!GetUser(&at, user)) return -EFAULT;
      if (at < 0) return -EINVAL;
    } else {
      at = file->Seek(0, 1);
      if (at == -ESPIPE) seekable = false, at = 0;
      if (at < 0) return at;
    }
    offset = static_cast<uint64_t>(at);
    return 0;
  }
  int64_t Store() {
    if (user != nullptr) return PutUser(user, static_cast<int64_t>(offset)) ? 0 : -EFAULT;
    if (seekable) file->Seek(static_cast<int64_t>(offset), 0);
    return 0;
  }
};

int64_t Transfer(File* from, int64_t* from_user, File* to, int64_t* to_user, uint64_t size) {
  if (!Readable(*from) || !Writable(*to)) return -EBADF;
  Position source{from_user, from}, target{to_user, to};
  if (const int64_t error = source.Load(); error != 0) return error;
  if (const int64_t error = target.Load(); error != 0) return error;
  const bool append = to->status_flags & kAppend;
  const int64_t copied = CopyBetween(from, source.seekable ? &source.offset : nullptr, to,
                                     target.seekable && !append ? &target.offset : nullptr, size);
  if (copied < 0) return copied;
  if (const int64_t error = source.Store(); error != 0) return error;
  if (append) return copied;
  const int64_t error = target.Store();
  return error != 0 ? error : copied;
}

int64_t Duplicate(int fd, int lowest, bool close_on_exec) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  if (lowest < 0 || static_cast<uint32_t>(lowest) >= kMaxDescriptors) return -EINVAL;
  file->Ref();
  return InstallFile(file, close_on_exec, lowest);
}

}  // namespace

extern "C" {

int64_t sys_read(int fd, void* user, uint64_t size) {
  FileRef file(fd);
  if (!file || !Readable(*file.get())) return -EBADF;
  return file->Read(user, size);
}

int64_t sys_write(int fd, const void* user, uint64_t size) {
  FileRef file(fd);
  if (!file || !Writable(*file.get())) return -EBADF;
  return file->Write(user, size);
}

int64_t sys_pread64(int fd, void* user, uint64_t size, int64_t offset) {
  FileRef file(fd);
  if (!file || !Readable(*file.get())) return -EBADF;
  return offset < 0 ? -EINVAL : file->ReadAt(user, size, offset);
}

int64_t sys_pwrite64(int fd, const void* user, uint64_t size, int64_t offset) {
  FileRef file(fd);
  if (!file || !Writable(*file.get())) return -EBADF;
  return offset < 0 ? -EINVAL : file->WriteAt(user, size, offset);
}

int64_t sys_readv(int fd, const IoVec* vectors, uint64_t count) {
  FileRef file(fd);
  if (!file || !Readable(*file.get())) return -EBADF;
  if (Socket* socket = file->AsSocket()) {
    bool cut;
    return ReceivePieces(socket, vectors, count, 0, nullptr, &cut);
  }
  return ForEachVector(vectors, count, [&](void* base, uint64_t size, int64_t done) -> int64_t {
    // Only the first piece is waited for.
    return done != 0 && !(file->Poll() & kPollIn) ? 0 : file->Read(base, size);
  });
}

int64_t sys_writev(int fd, const IoVec* vectors, uint64_t count) {
  FileRef file(fd);
  if (!file || !Writable(*file.get())) return -EBADF;
  if (Socket* socket = file->AsSocket()) return SendPieces(socket, vectors, count, 0, nullptr);
  return ForEachVector(vectors, count,
                       [&](void* base, uint64_t size, int64_t) { return file->Write(base, size); });
}

int64_t sys_preadv(int fd, const IoVec* vectors, uint64_t count, int64_t offset) {
  FileRef file(fd);
  if (!file || !Readable(*file.get())) return -EBADF;
  if (offset < 0) return -EINVAL;
  return ForEachVector(vectors, count, [&](void* base, uint64_t size, int64_t done) {
    return file->ReadAt(base, size, offset + done);
  });
}

int64_t sys_pwritev(int fd, const IoVec* vectors, uint64_t count, int64_t offset) {
  FileRef file(fd);
  if (!file || !Writable(*file.get())) return -EBADF;
  if (offset < 0) return -EINVAL;
  return ForEachVector(vectors, count, [&](void* base, uint64_t size, int64_t done) {
    return file->WriteAt(base, size, offset + done);
  });
}

int64_t sys_close(int fd) { return CloseDescriptor(fd); }

int64_t sys_close_range(uint32_t first, uint32_t last, uint32_t flags) {
  constexpr uint32_t kCloseOnExecOnly = 4;
  if (first > last) return -EINVAL;
  for (int fd = NextDescriptor(static_cast<int>(first));
       fd >= 0 && static_cast<uint32_t>(fd) <= last; fd = NextDescriptor(fd + 1)) {
    if (flags & kCloseOnExecOnly) {
      SetCloseOnExec(fd, true);
    } else {
      CloseDescriptor(fd);
    }
  }
  return 0;
}

int64_t sys_lseek(int fd, int64_t offset, int whence) {
  File* file = GetFile(fd);
  return file == nullptr ? -EBADF : file->Seek(offset, whence);
}

int64_t sys_fstat(int fd, Stat* user) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  Stat stat{};
  const int64_t error = file->GetStat(&stat);
  if (error != 0) return error;
  return PutUser(user, stat) ? 0 : -EFAULT;
}

int64_t sys_dup(int fd) { return Duplicate(fd, 0, false); }

int64_t sys_dup3(int fd, int target, uint32_t flags) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  if (fd == target) return -EINVAL;
  file->Ref();
  return InstallFileAt(file, flags & kCloseOnExec, target);
}

int64_t sys_dup2(int fd, int target) {
  if (fd == target) return GetFile(fd) == nullptr ? -EBADF : fd;
  return sys_dup3(fd, target, 0);
}

int64_t sys_fcntl(int fd, int command, uint64_t argument) {
  constexpr int kDupFd = 0, kGetFd = 1, kSetFd = 2, kGetFl = 3, kSetFl = 4, kGetLock = 5;
  constexpr int kSetLock = 6, kSetLockWait = 7, kDupFdCloexec = 1030;
  constexpr int kGetPipeSize = 1032, kSetPipeSize = 1031, kAddSeals = 1033, kGetSeals = 1034;
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  switch (command) {
    case kDupFd:
      return Duplicate(fd, static_cast<int>(argument), false);
    case kDupFdCloexec:
      return Duplicate(fd, static_cast<int>(argument), true);
    case kGetFd:
      return GetCloseOnExec(fd);
    case kSetFd:
      SetCloseOnExec(fd, argument & 1);
      return 0;
    case kGetFl:
      return file->status_flags;
    case kSetFl: {
      constexpr uint32_t kChangeable = kAppend | kNonBlock;
      file->status_flags =
          (file->status_flags & ~kChangeable) | (static_cast<uint32_t>(argument) & kChangeable);
      return 0;
    }
    case kGetLock: {
      const int16_t unlocked = 2;  // F_UNLCK: nobody else could hold one
      return PutUser(reinterpret_cast<int16_t*>(argument), unlocked) ? 0 : -EFAULT;
    }
    case kSetLock:
    case kSetLockWait:
      return 0;
    case kGetPipeSize:
    case kSetPipeSize:
      return Channel::kCapacity;
    case kAddSeals:
    case kGetSeals:
      return 0;
    default:
      return -EINVAL;
  }
}

int64_t sys_ioctl(int fd, uint64_t request, uint64_t argument) {
  constexpr uint64_t kSetCloexec = 0x5451, kClearCloexec = 0x5450, kSetNonBlock = 0x5421;
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  switch (request) {
    case kSetCloexec:
      SetCloseOnExec(fd, true);
      return 0;
    case kClearCloexec:
      SetCloseOnExec(fd, false);
      return 0;
    case kSetNonBlock: {
      int32_t value;
      if (!GetUser(&value, reinterpret_cast<int32_t*>(argument))) return -EFAULT;
      file->status_flags = value ? file->status_flags | kNonBlock : file->status_flags & ~kNonBlock;
      return 0;
    }
    default:
      return file->Ioctl(request, argument);
  }
}

int64_t sys_flock(int fd) { return GetFile(fd) == nullptr ? -EBADF : 0; }
int64_t sys_fsync(int fd) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  return IsOnHost(file) ? SyncHostFile(InodeOf(file)) : 0;
}
int64_t sys_fdatasync(int fd) { return sys_fsync(fd); }

int64_t sys_ftruncate(int fd, int64_t size) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  if (size < 0 || !Writable(*file)) return -EINVAL;
  return file->Truncate(size);
}

int64_t sys_fallocate(int fd, int mode, int64_t offset, int64_t length) {
  constexpr int kKeepSize = 1;
  File* file = GetFile(fd);
  if (file == nullptr || !Writable(*file)) return -EBADF;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (mode == kKeepSize) return 0;  // advice
  if (mode != 0 || IsOnHost(file)) return -EOPNOTSUPP;
  Inode* inode = InodeOf(file);
  int64_t end;
  if (inode == nullptr) return -ENODEV;
  if (__builtin_add_overflow(offset, length, &end)) return -EFBIG;
  const auto wanted = static_cast<uint64_t>(end);
  if (const int64_t error = MayChangeFile(inode); error != 0) return error;
  const int64_t error =
      inode->sparse ? ReserveSparse(inode, offset, wanted) : EnsureWritable(inode, wanted);
  if (error != 0) return error;
  return inode->size >= wanted ? 0 : file->Truncate(wanted);
}

int64_t sys_getdents64(int fd, void* user, uint64_t size) {
  File* file = GetFile(fd);
  return file == nullptr ? -EBADF : file->ReadDirectory(user, size);
}

int64_t sys_sendfile(int to_fd, int from_fd, int64_t* offset, uint64_t size) {
  FileRef from(from_fd), to(to_fd);
  if (!from || !to) return -EBADF;
  return Transfer(from.get(), offset, to.get(), nullptr, size);
}

int64_t sys_copy_file_range(int from_fd, int64_t* from_offset, int to_fd, int64_t* to_offset,
                            uint64_t size, uint32_t flags) {
  FileRef from(from_fd), to(to_fd);
  if (!from || !to) return -EBADF;
  if (flags != 0) return -EINVAL;
  return Transfer(from.get(), from_offset, to.get(), to_offset, size);
}

int64_t sys_pipe2(int32_t* user, uint32_t flags) {
  File* reader;
  File* writer;
  if (const int64_t error = CreatePipe(&reader, &writer, flags & kNonBlock); error != 0) {
    return error;
  }
  const int64_t read_fd = InstallFile(reader, flags & kCloseOnExec);
  const int64_t write_fd = InstallFile(writer, flags & kCloseOnExec);
  const int32_t fds[2] = {static_cast<int32_t>(read_fd), static_cast<int32_t>(write_fd)};
  if (read_fd >= 0 && write_fd >= 0 && CopyToUser(user, fds, sizeof fds)) return 0;
  if (read_fd >= 0) CloseDescriptor(fds[0]);
  if (write_fd >= 0) CloseDescriptor(fds[1]);
  return read_fd < 0 ? read_fd : (write_fd < 0 ? write_fd : -EFAULT);
}

int64_t sys_pipe(int32_t* user) { return sys_pipe2(user, 0); }

int64_t sys_eventfd2(uint32_t count, uint32_t flags) {
  constexpr uint32_t kSemaphore = 1;
  File* file = CreateEventFile(count, flags & kSemaphore, flags & kNonBlock);
  return file == nullptr ? -ENOMEM : InstallFile(file, flags & kCloseOnExec);
}

int64_t sys_eventfd(uint32_t count) { return sys_eventfd2(count, 0); }

}  // extern "C"
}  // namespace usetl::kernel
