// address.h: what sockets are called. There is no network: of the Internet's addresses only those
// of the loopback, and the unspecified ones, are this USF's.
#ifndef USETL_GUEST_KERNEL_SOCKET_ADDRESS_H_
#define USETL_GUEST_KERNEL_SOCKET_ADDRESS_H_

#include <cstdint>

#include "guest/kernel/linux/socket.h"

namespace usetl::kernel {

struct SocketAddress {
  int family = kUnspecified;  // unspecified: none
  // AF_INET and AF_INET6: an IPv4 address as ::ffff:a.b.c.d, whatever the family.
  uint8_t ip[16] = {};
  uint16_t port = 0;  // host order
  // AF_UNIX: bytes of `path` in use; 0: unnamed. A first byte of 0 makes it an abstract name; a
  // path ends in a zero that is not counted.
  uint32_t path_size = 0;
  char path[kUnixPathRoom + 1] = {};

  bool abstract() const { return path[0] == 0; }
};

// Copies an address of the application. -EINVAL (its length), -EFAULT, -EAFNOSUPPORT (another
// family; but AF_UNSPEC is taken).
int64_t GetAddress(int domain, const void* user, uint32_t size, SocketAddress* address);

// Stores it as accept(2) does: cut to *user_size, which becomes the true size; nothing for a null
// `user`. -EFAULT, -EINVAL (a negative length).
int64_t PutAddress(int domain, const SocketAddress& address, void* user, uint32_t* user_size);
// Into kernel memory; returns the size.
uint32_t FormatAddress(int domain, const SocketAddress& address, void* buffer);
inline constexpr uint32_t kMaxAddressSize = sizeof(UnixAddress);

bool IsUnspecified(const SocketAddress& address);  // 0.0.0.0 or ::
bool IsLoopback(const SocketAddress& address);     // 127.0.0.0/8, ::1
bool IsV4(const SocketAddress& address);
// The loopback address of the same kind as `like`, with `port`.
SocketAddress LoopbackLike(const SocketAddress& like, uint16_t port);
bool SameIp(const SocketAddress& a, const SocketAddress& b);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_ADDRESS_H_
