#include "guest/kernel/socket/address.h"

#include <asm/errno.h>

#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

constexpr uint8_t kV4Prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr uint8_t kLoopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr uint8_t kNone[16] = {};

uint16_t Swap(uint16_t v) { return __builtin_bswap16(v); }

int64_t GetUnix(const void* user, uint32_t size, SocketAddress* address) {
  if (size > sizeof(UnixAddress)) return -EINVAL;
  UnixAddress raw{};
  if (!CopyFromUser(&raw, user, size)) return -EFAULT;
  address->path_size = size - static_cast<uint32_t>(sizeof raw.family);
  memcpy(address->path, raw.path, address->path_size);
  if (raw.path[0] != 0) address->path_size = static_cast<uint32_t>(strlen(address->path));
  return 0;
}

}  // namespace

int64_t GetAddress(int domain, const void* user, uint32_t size, SocketAddress* address) {
  *address = {};
  uint16_t family;
  if (size < sizeof family || size > 128) return -EINVAL;
  if (!CopyFromUser(&family, user, sizeof family)) return -EFAULT;
  if (family == kUnspecified) return 0;
  if (family != domain) return domain == kUnix ? -EINVAL : -EAFNOSUPPORT;
  address->family = family;
  if (domain == kUnix) return GetUnix(user, size, address);
  if (domain == kInet) {
    InetAddress raw;
    if (size < sizeof raw) return -EINVAL;
    if (!CopyFromUser(&raw, user, sizeof raw)) return -EFAULT;
    memcpy(address->ip, kV4Prefix, sizeof kV4Prefix);
    memcpy(address->ip + sizeof kV4Prefix, raw.address, sizeof raw.address);
    address->port = Swap(raw.port);
    return 0;
  }
  Inet6Address raw;
  constexpr uint32_t kOldSize = 24;  // without the scope, RFC 2133
  if (size < kOldSize) return -EINVAL;
  if (!CopyFromUser(&raw, user, kOldSize)) return -EFAULT;
  memcpy(address->ip, raw.address, sizeof raw.address);
  address->port = Swap(raw.port);
  return 0;
}

uint32_t FormatAddress(int domain, const SocketAddress& address, void* buffer) {
  if (domain == kUnix) {
    UnixAddress raw{kUnix, {}};
    memcpy(raw.path, address.path, address.path_size);
    uint32_t size = sizeof raw.family + address.path_size;
    // A path is told with its zero, where that has room.
    if (address.path_size != 0 && !address.abstract() && size < sizeof raw) ++size;
    memcpy(buffer, &raw, size);
    return size;
  }
  if (domain == kInet) {
    InetAddress raw{kInet, Swap(address.port), {}, {}};
    memcpy(raw.address, address.ip + sizeof kV4Prefix, sizeof raw.address);
    memcpy(buffer, &raw, sizeof raw);
    return sizeof raw;
  }
  Inet6Address raw{kInet6, Swap(address.port), 0, {}, 0};
  memcpy(raw.address, address.ip, sizeof raw.address);
  memcpy(buffer, &raw, sizeof raw);
  return sizeof raw;
}

int64_t PutAddress(int domain, const SocketAddress& address, void* user, uint32_t* user_size) {
  if (user == nullptr) return 0;
  uint32_t room;
  if (!GetUser(&room, user_size)) return -EFAULT;
  if (static_cast<int32_t>(room) < 0) return -EINVAL;
  uint8_t buffer[kMaxAddressSize];
  const uint32_t size = FormatAddress(domain, address, buffer);
  if (!CopyToUser(user, buffer, size < room ? size : room)) return -EFAULT;
  return PutUser(user_size, size) ? 0 : -EFAULT;
}

bool IsV4(const SocketAddress& address) {
  return memcmp(address.ip, kV4Prefix, sizeof kV4Prefix) == 0;
}

bool IsUnspecified(const SocketAddress& address) {
  return memcmp(address.ip, kNone, sizeof kNone) == 0 ||
         (IsV4(address) && memcmp(address.ip + sizeof kV4Prefix, kNone, 4) == 0);
}

bool IsLoopback(const SocketAddress& address) {
  return IsV4(address) ? address.ip[sizeof kV4Prefix] == 127
                       : memcmp(address.ip, kLoopback6, sizeof kLoopback6) == 0;
}

SocketAddress LoopbackLike(const SocketAddress& like, uint16_t port) {
  SocketAddress address;
  address.family = like.family;
  address.port = port;
  if (IsV4(like)) {
    memcpy(address.ip, kV4Prefix, sizeof kV4Prefix);
    address.ip[sizeof kV4Prefix] = 127;
    address.ip[sizeof address.ip - 1] = 1;
  } else {
    memcpy(address.ip, kLoopback6, sizeof kLoopback6);
  }
  return address;
}

bool SameIp(const SocketAddress& a, const SocketAddress& b) {
  return memcmp(a.ip, b.ip, sizeof a.ip) == 0;
}

}  // namespace usetl::kernel
