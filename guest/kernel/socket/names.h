// names.h: which socket has which address.
#ifndef USETL_GUEST_KERNEL_SOCKET_NAMES_H_
#define USETL_GUEST_KERNEL_SOCKET_NAMES_H_

#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {

class SocketNames {
 public:
  // Gives `socket` an address: a free port in place of 0, a name in the file system for a path. 0,
  // -EADDRINUSE, -EADDRNOTAVAIL (not of this USF), or what the file system says.
  static int64_t Take(Socket* socket, const SocketAddress& address);
  // Nothing for a socket that has none.
  static void Release(Socket* socket);

  // The socket that takes what is sent to `to` from a socket like `from`. 0, -ECONNREFUSED,
  // -ENETUNREACH (not of this USF), -EPROTOTYPE (AF_UNIX: of another type), or what the file system
  // says.
  static int64_t Find(const Socket& from, const SocketAddress& to, Socket** found);

  // Whether no other socket listens where this one is about to.
  static bool MayListen(const Socket& socket);

  // In a clone: sockets of another process are forgotten.
  static void Forget();

 private:
  static int64_t TakePort(Socket* socket, SocketAddress address);
  static int64_t TakePath(Socket* socket, const SocketAddress& address);
  static bool Conflicts(const Socket& socket, const SocketAddress& address);
  static Socket* FindInet(const Socket& from, const SocketAddress& to);
  static void Add(Socket* socket, const SocketAddress& address);

  static Socket* first_;
};

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_NAMES_H_
