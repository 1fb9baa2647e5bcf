// sockets.cc: system calls of sockets.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/pipe.h"
#include "guest/kernel/linux/socket.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kMostPieces = 1024;  // UIO_MAXIOV

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

// The pieces of a message in one buffer: a message is sent and received as a whole.
struct Gathered {
  ~Gathered() { Free(bytes); }
  int64_t Reserve(const MessageHeader& header) {
    constexpr uint64_t kLargest = 256 << 10;  // beyond what any socket takes
    for (uint64_t i = 0; i < header.vector_count; ++i) {
      IoVec vector;
      if (!GetUser(&vector, header.vectors + i)) return -EFAULT;
      size += vector.size < kLargest ? vector.size : kLargest;
      if (size > kLargest) size = kLargest;
    }
    bytes = static_cast<uint8_t*>(Allocate(size + 1));
    return bytes == nullptr ? -ENOMEM : 0;
  }
  uint8_t* bytes = nullptr;
  uint64_t size = 0;
};

int64_t SendWhole(Socket* socket, const MessageHeader& header, uint32_t flags,
                  const SocketAddress* to) {
  Gathered message;
  if (const int64_t error = message.Reserve(header); error != 0) return error;
  uint64_t at = 0;
  for (uint64_t i = 0; i < header.vector_count; ++i) {
    IoVec vector;
    if (!GetUser(&vector, header.vectors + i)) return -EFAULT;
    if (vector.size > message.size - at) return -EMSGSIZE;
    if (!CopyFromUser(message.bytes + at, vector.base, vector.size)) return -EFAULT;
    at += vector.size;
  }
  return socket->Send(message.bytes, at, flags, to);
}

int64_t ReceiveWhole(Socket* socket, const MessageHeader& header, uint32_t flags,
                     SocketAddress* from, bool* cut) {
  Gathered message;
  if (const int64_t error = message.Reserve(header); error != 0) return error;
  const int64_t got = socket->Receive(message.bytes, message.size, flags | kMessageTruncate, from);
  if (got < 0) return got;
  *cut = static_cast<uint64_t>(got) > message.size;
  const uint64_t whole = *cut ? message.size : static_cast<uint64_t>(got);
  uint64_t at = 0;
  for (uint64_t i = 0; i < header.vector_count && at < whole; ++i) {
    IoVec vector;
    if (!GetUser(&vector, header.vectors + i)) return -EFAULT;
    const uint64_t piece = whole - at < vector.size ? whole - at : vector.size;
    if (!CopyToUser(vector.base, message.bytes + at, piece)) return -EFAULT;
    at += piece;
  }
  return static_cast<int64_t>(flags & kMessageTruncate ? static_cast<uint64_t>(got) : whole);
}

// Piece by piece, for streams: only the first one waits, unless all is wanted.
template <typename Transfer>
int64_t EachPiece(const MessageHeader& header, Transfer transfer) {
  uint64_t done = 0;
  for (uint64_t i = 0; i < header.vector_count; ++i) {
    IoVec vector;
    int64_t moved = -EFAULT;
    if (GetUser(&vector, header.vectors + i)) {
      if (vector.size == 0) continue;
      moved = transfer(vector, done != 0);
    }
    if (moved < 0) return done != 0 ? static_cast<int64_t>(done) : moved;
    done += static_cast<uint64_t>(moved);
    if (static_cast<uint64_t>(moved) < vector.size) break;
  }
  return static_cast<int64_t>(done);
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
  if (header.vector_count > kMostPieces) return -EMSGSIZE;
  if (header.control_size != 0) return -EOPNOTSUPP;  // nobody to pass descriptors to
  SocketAddress address;
  const bool named = header.name != nullptr && header.name_size != 0;
  if (named) {
    const int64_t error = GetAddress(socket->domain(), header.name, header.name_size, &address);
    if (error != 0) return error;
  }
  const SocketAddress* to = named ? &address : nullptr;
  if (socket->type() != kStream) return SendWhole(socket.get(), header, flags, to);
  return EachPiece(header, [&](const IoVec& piece, bool) {
    return socket->Send(piece.base, piece.size, flags, to);
  });
}

int64_t sys_recvmsg(int fd, MessageHeader* user, uint32_t flags) {
  SocketRef socket(fd);
  if (socket.error() != 0) return socket.error();
  MessageHeader header;
  if (!GetUser(&header, user)) return -EFAULT;
  if (header.vector_count > kMostPieces) return -EMSGSIZE;
  SocketAddress sender;
  bool cut = false;
  int64_t got;
  if (socket->type() != kStream) {
    got = ReceiveWhole(socket.get(), header, flags, &sender, &cut);
  } else {
    got = EachPiece(header, [&](const IoVec& piece, bool more) -> int64_t {
      if (more && (flags & kMessagePeek)) return 0;
      const uint32_t wait = more && !(flags & kMessageWaitAll) ? kMessageDontWait : 0u;
      return socket->Receive(piece.base, piece.size, flags | wait, nullptr);
    });
  }
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
