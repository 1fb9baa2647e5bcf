// sockets.cc: system calls of sockets.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/linux/socket.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/message.h"
#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {
namespace {

// The socket of a descriptor, held while this lives; else error() says why there is none.
class SocketRef {
 public:
  explicit SocketRef(int fd) : file_(fd) { socket_ = file_ ? file_->AsSocket() : nullptr; }
  int64_t error() const { return !file_ ? -EBADF : socket_ == nullptr ? -ENOTSOCK : 0; }
  Socket* operator->() const { return socket_; }
  Socket* get() const { return socket_; }

 private:
  FileRef file_;
  Socket* socket_;
};

int64_t Install(Socket* socket, int flags) {
  if (flags & kNonBlock) socket->status_flags |= kNonBlock;
  return InstallFile(socket, flags & kCloseOnExec);
}

int64_t Accept(int fd, void* address, uint32_t* size, int flags) {
  if (flags & ~static_cast<int>(kNonBlock | kCloseOnExec)) return -EINVAL;
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  if (!HasFreeDescriptor()) return -EMFILE;  // the connection waits for better times
  Socket* accepted;
  if (const int64_t error = socket->Accept(&accepted); error != 0) return error;
  if (const int64_t error = PutAddress(accepted->domain(), accepted->peer(), address, size);
      error != 0) {
    accepted->Unref();
    return error;
  }
  return Install(accepted, flags);
}

// Who sent a message: nothing for a connection's data and for senders without a name.
int64_t PutSender(const Socket& socket, const SocketAddress& from, void* user, uint32_t* size) {
  if (user == nullptr) return 0;
  if (from.family != kUnspecified) return PutAddress(socket.domain(), from, user, size);
  const uint32_t none = 0;
  return PutUser(size, none) ? 0 : -EFAULT;
}

// `peer`: of the other end.
int64_t TellAddress(int fd, bool peer, void* user, uint32_t* size) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  if (peer && !socket->connected()) return -ENOTCONN;
  return user == nullptr
             ? -EFAULT
             : PutAddress(socket->domain(), peer ? socket->peer() : socket->local(), user, size);
}

}  // namespace

extern "C" {

int64_t sys_socket(int domain, int type, int protocol) {
  if (type & ~static_cast<int>(kTypeMask | kNonBlock | kCloseOnExec)) return -EINVAL;
  Socket* socket;
  const int64_t error = CreateSocket(domain, type & kTypeMask, protocol, &socket);
  return error != 0 ? error : Install(socket, type);
}

int64_t sys_socketpair(int domain, int type, int, int32_t* user) {
  const int kind = type & kTypeMask;
  if (domain != kUnix) return domain == kInet || domain == kInet6 ? -EOPNOTSUPP : -EAFNOSUPPORT;
  if (kind != kStream && kind != kDatagram && kind != kSequenced) return -ESOCKTNOSUPPORT;
  Socket* first;
  Socket* second;
  if (const int64_t error = CreateSocketPair(kind, &first, &second); error != 0) return error;
  const int64_t a = Install(first, type);
  const int64_t b = Install(second, type);
  const int32_t fds[2] = {static_cast<int32_t>(a), static_cast<int32_t>(b)};
  if (a >= 0 && b >= 0 && CopyToUser(user, fds, sizeof fds)) return 0;
  if (a >= 0) CloseDescriptor(fds[0]);
  if (b >= 0) CloseDescriptor(fds[1]);
  return a < 0 ? a : (b < 0 ? b : -EFAULT);
}

int64_t sys_bind(int fd, const void* user, uint32_t size) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  SocketAddress address;
  if (const int64_t error = GetAddress(socket->domain(), user, size, &address); error != 0) {
    return error;
  }
  return socket->Bind(address);
}

int64_t sys_listen(int fd, int backlog) {
  SocketRef socket(fd);
  return socket.error() != 0 ? socket.error() : socket->Listen(backlog);
}

int64_t sys_connect(int fd, const void* user, uint32_t size) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  SocketAddress address;
  if (const int64_t error = GetAddress(socket->domain(), user, size, &address); error != 0) {
    return error;
  }
  return socket->Connect(address);
}

int64_t sys_accept4(int fd, void* address, uint32_t* size, int flags) {
  return Accept(fd, address, size, flags);
}
int64_t sys_accept(int fd, void* address, uint32_t* size) { return Accept(fd, address, size, 0); }

int64_t sys_sendto(int fd, const void* user, uint64_t size, uint32_t flags, const void* to,
                   uint32_t to_size) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  SocketAddress address;
  if (to != nullptr) {
    const int64_t error = GetAddress(socket->domain(), to, to_size, &address);
    if (error != 0) return error;
  }
  return socket->Send(user, size, flags, to == nullptr ? nullptr : &address);
}

int64_t sys_recvfrom(int fd, void* user, uint64_t size, uint32_t flags, void* from,
                     uint32_t* from_size) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  SocketAddress sender;
  const int64_t got = socket->Receive(user, size, flags, &sender);
  if (got < 0) return got;
  const int64_t error = PutSender(*socket.get(), sender, from, from_size);
  return error != 0 ? error : got;
}

int64_t sys_sendmsg(int fd, const MessageHeader* user, uint32_t flags) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  MessageHeader header;
  if (!GetUser(&header, user)) return -EFAULT;
  if (header.control_size != 0) return -EOPNOTSUPP;  // nobody to pass descriptors to
  SocketAddress address;
  const bool named = header.name != nullptr && header.name_size != 0;
  if (named) {
    const int64_t error = GetAddress(socket->domain(), header.name, header.name_size, &address);
    if (error != 0) return error;
  }
  return SendPieces(socket.get(), header.vectors, header.vector_count, flags,
                    named ? &address : nullptr);
}

int64_t sys_recvmsg(int fd, MessageHeader* user, uint32_t flags) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  MessageHeader header;
  if (!GetUser(&header, user)) return -EFAULT;
  SocketAddress sender;
  bool cut;
  const int64_t got =
      ReceivePieces(socket.get(), header.vectors, header.vector_count, flags, &sender, &cut);
  if (got < 0) return got;
  uint32_t name_size = header.name_size;
  uint8_t name[kMaxAddressSize];
  if (header.name != nullptr) {
    const uint32_t size =
        sender.family == kUnspecified ? 0 : FormatAddress(socket->domain(), sender, name);
    if (!CopyToUser(header.name, name, size < name_size ? size : name_size)) return -EFAULT;
    name_size = size;
  }
  header.name_size = header.name == nullptr ? header.name_size : name_size;
  header.control_size = 0;
  header.flags = cut ? kMessageTruncate : 0;
  return PutUser(user, header) ? got : -EFAULT;
}

int64_t sys_shutdown(int fd, int how) {
  SocketRef socket(fd);
  return socket.error() != 0 ? socket.error() : socket->Shutdown(how);
}

int64_t sys_getsockname(int fd, void* user, uint32_t* size) {
  return TellAddress(fd, /*peer=*/false, user, size);
}
int64_t sys_getpeername(int fd, void* user, uint32_t* size) {
  return TellAddress(fd, /*peer=*/true, user, size);
}

int64_t sys_setsockopt(int fd, int level, int name, const void* value, uint32_t size) {
  SocketRef socket(fd);
  return socket.error() != 0 ? socket.error() : SetOption(socket.get(), level, name, value, size);
}
int64_t sys_getsockopt(int fd, int level, int name, void* value, uint32_t* size) {
  SocketRef socket(fd);
  return socket.error() != 0 ? socket.error() : GetOption(socket.get(), level, name, value, size);
}

}  // extern "C"
}  // namespace usetl::kernel
