#include "cri/image/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace usetl::image {
namespace {

constexpr std::chrono::milliseconds kLockPoll{10};

Status WriteError(std::string_view context) {
  if (errno == EDQUOT) errno = ENOSPC;
  return Status::Errno(context);
}

}  // namespace

Status CancelledStatus() { return Status(ECANCELED, "was cancelled"); }

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return Status::Errno("open " + path);
  if (!S_ISREG(info.st_mode)) return Status(EBADMSG, path + " is no regular file");
  std::string text;
  char bytes[64 << 10];
  while (true) {
    const ssize_t n = read(fd.get(), bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno("read " + path);
    if (n == 0) return text;
    if (text.size() + n > limit) return Status(EFBIG, path + " is too large");
    text.append(bytes, n);
  }
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return WriteError("write");
    bytes.remove_prefix(n);
  }
  return Status();
}

Status SyncDirectory(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok() || fsync(fd.get()) != 0) return Status::Errno("flush directory " + path);
  return Status();
}

Status PublishFile(int fd, const std::string& temporary, const std::string& path) {
  if (fsync(fd) != 0) return WriteError("flush " + temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) return WriteError("rename to " + path);
  return SyncDirectory(path.substr(0, path.rfind('/')));
}

Status ReplaceFile(const std::string& temporary, const std::string& path, std::string_view bytes) {
  std::string name = temporary + ".XXXXXX";
  const Fd fd(mkostemp(name.data(), O_CLOEXEC));
  if (!fd.ok()) return WriteError("create " + name);
  Status status = WriteAll(fd.get(), bytes).Annotate(name);
  if (status.ok()) status = PublishFile(fd.get(), name, path);
  if (!status.ok()) unlink(name.c_str());
  return status;
}

Result<Fd> LockFile(const std::string& path, const Cancelled& cancelled) {
  while (true) {
    Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.ok()) return WriteError("open " + path);
    // Polled, because a holder may take minutes and the caller may be cancelled meanwhile.
    while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return Status::Errno("lock " + path);
      if (IsCancelled(cancelled)) return CancelledStatus();
      std::this_thread::sleep_for(kLockPoll);
    }
    struct stat held, named;
    if (fstat(fd.get(), &held) != 0) return Status::Errno("stat " + path);
    // Its last holder may have renamed or removed it: then this lock is on a file without a name.
    if (stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino) return fd;
  }
}

}  // namespace usetl::image
