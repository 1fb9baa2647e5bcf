#include "cri/streaming/inlet.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace usetl::cri::streaming {

Result<size_t> Inlet::Flush(int fd) {
  if (pending_.empty()) return size_t{0};
  const ssize_t size = write(fd, pending_.data(), pending_.size());
  if (size < 0) {
    if (errno == EAGAIN || errno == EINTR) return size_t{0};
    return Status::Errno("write");
  }
  pending_.erase(0, static_cast<size_t>(size));
  return static_cast<size_t>(size);
}

size_t Inlet::Drop() {
  const size_t size = pending_.size();
  pending_.clear();
  return size;
}

Result<std::string> ReadSome(int fd, size_t limit) {
  constexpr size_t kPart = 32 << 10;
  std::string part(std::min(limit, kPart), '\0');
  const ssize_t size = read(fd, part.data(), part.size());
  // A terminal whose last program has gone says EIO.
  if (size < 0 && errno != EIO) return Status::Errno("read");
  part.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return part;
}

Status SetNonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) return Status();
  return Status::Errno("making a descriptor nonblocking");
}

}  // namespace usetl::cri::streaming
