#include "vmm/base/output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace usetl {

void ReserveOutput() {
  if (fcntl(STDOUT_FILENO, F_GETFD) >= 0) return;
  const int unwritable = open("/dev/null", O_RDONLY);
  if (unwritable < 0 || unwritable == STDOUT_FILENO) return;
  dup2(unwritable, STDOUT_FILENO);
  close(unwritable);
}

Status WriteOutput(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd writable{STDOUT_FILENO, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return Status::Errno("standard output");
    }
  }
  return Status();
}

Status FlushOutput() {
  static Status first;  // stdio drops what it could not write, and remembers only that it did
  if (!first.ok()) return first;
  if (std::fflush(stdout) != 0) return first = Status::Errno("standard output");
  if (std::ferror(stdout) != 0) return first = Status(EIO, "standard output: some was not written");
  return Status();
}

int EndOutput(int status, int failed) {
  const Status written = FlushOutput();
  if (written.ok()) return status;
  std::fprintf(stderr, "usetl: %s\n", written.message().c_str());
  return failed;
}

}  // namespace usetl
