#include "vmm/ipc/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace usetl::ipc {
namespace {

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Status(ENAMETOOLONG, path + ": too long for a socket");
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<Fd> NewSocket() {
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return Status::Errno("socket");
  return fd;
}

// Whether somebody listens there; not waited for.
Result<bool> IsServed(const sockaddr_un& address) {
  Result<Fd> probe = NewSocket();
  if (!probe.ok()) return probe.status();
  // One whose backlog is full (EAGAIN) listens too, one of another type as well.
  if (fcntl(probe->get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("fcntl");
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  if (connect(probe->get(), to, sizeof address) == 0) return true;
  return errno != ECONNREFUSED && errno != ENOENT;
}

// Makes room at `path`, unless somebody listens there. One that was killed may take a moment to
// end.
Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status() : Status::Errno(path);
  }
  if (!S_ISSOCK(info.st_mode)) return Status(EEXIST, path + ": is there and no socket");
  constexpr useconds_t kPausesUs[] = {0, 20'000, 80'000, 300'000, 600'000, 1'000'000};
  for (const useconds_t pause : kPausesUs) {
    usleep(pause);
    const Result<bool> served = IsServed(address);
    if (!served.ok()) return served.status();
    if (*served) continue;
    return unlink(path.c_str()) == 0 || errno == ENOENT ? Status()
                                                        : Status::Errno("remove " + path);
  }
  return Status(EADDRINUSE, "somebody listens at " + path +
                                " already; end that daemon, or choose another path");
}

}  // namespace

Status Send(int socket, std::span<const uint8_t> head, std::span<const uint8_t> body,
            std::span<const int> fds) {
  iovec parts[2] = {{const_cast<uint8_t*>(head.data()), head.size()},
                    {const_cast<uint8_t*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  if (fds.size() > kMaxDescriptors) return Status(E2BIG, "too many descriptors in a message");
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    std::memset(control, 0, sizeof control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0) return Status();
    if (errno != EINTR) return Status::Errno("send");
  }
}

Result<Message> Receive(int socket) {
  // Not in the message: only as much as was sent shall be touched.
  uint8_t bytes[kMaxMessage];
  Message message;
  iovec part{bytes, sizeof bytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do {
    size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return Status::Errno("receive");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  if (size == 0) return Status(ECONNRESET, "the peer left");
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) return Status(EMSGSIZE, "a message is too long");
  message.bytes.assign(bytes, bytes + size);
  return message;
}

Result<Fd> Listen(const std::string& path) {
  Result<sockaddr_un> address = Address(path);
  if (!address.ok()) return address.status();
  USETL_RETURN_IF_ERROR(RemoveStale(path, *address));
  Result<Fd> fd = NewSocket();
  if (!fd.ok()) return fd;
  // The path gets the socket's mode. Not by umask(2), which is the whole process's.
  if (fchmod(fd->get(), 0600) != 0) return Status::Errno("mode of " + path);
  if (bind(fd->get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) != 0) {
    return Status::Errno("bind " + path);
  }
  if (listen(fd->get(), 128) != 0) return Status::Errno("listen " + path);
  return fd;
}

Result<Fd> Connect(const std::string& path, std::chrono::milliseconds limit) {
  Result<sockaddr_un> address = Address(path);
  if (!address.ok()) return address.status();
  Result<Fd> fd = NewSocket();
  if (!fd.ok()) return fd;
  const timeval wait{static_cast<time_t>(limit.count() / 1000),
                     static_cast<suseconds_t>(limit.count() % 1000 * 1000)};
  if (setsockopt(fd->get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0) {
    return Status::Errno("limiting the wait for " + path);
  }
  int connected;
  do {
    connected = connect(fd->get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address);
  } while (connected != 0 && errno == EINTR);
  if (connected != 0) {
    if (errno == EAGAIN) return Status(ETIMEDOUT, path + ": nobody accepts connections there");
    return Status::Errno("connect " + path);
  }
  return fd;
}

Result<std::pair<Fd, Fd>> Pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return Status::Errno("socketpair");
  }
  return std::pair<Fd, Fd>(Fd(fds[0]), Fd(fds[1]));
}

}  // namespace usetl::ipc
