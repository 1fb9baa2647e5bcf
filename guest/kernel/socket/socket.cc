#include "guest/kernel/socket/socket.h"

#include "guest/kernel/host/clock.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/names.h"
#include "guest/kernel/socket/stream.h"

namespace usetl::kernel {

Socket::~Socket() { SocketNames::Release(this); }

int64_t Socket::GetStat(Stat* stat) {
  *stat = {};
  stat->mode = kStatModeSocket | 0777;
  stat->block_size = 4096;
  stat->links = 1;
  return 0;
}

int64_t Socket::Ioctl(uint64_t request, uint64_t argument) {
  constexpr uint64_t kBytesReadable = 0x541b;  // FIONREAD
  if (request != kBytesReadable) return -ENOTTY;
  if (listening()) return -EINVAL;
  const auto count = static_cast<int32_t>(available());
  return PutUser(reinterpret_cast<int32_t*>(argument), count) ? 0 : -EFAULT;
}

int64_t Socket::Name(char* buffer, uint64_t size) {
  constexpr char kName[] = "socket:[1]";
  uint64_t n = 0;
  for (; n < sizeof kName - 1 && n < size; ++n) buffer[n] = kName[n];
  return static_cast<int64_t>(n);
}

int64_t Socket::Deliver(const Socket&, const void*, uint64_t, WaitQueue**) { return -ECONNREFUSED; }

int64_t Socket::Bind(const SocketAddress& address) {
  if (address.family != domain_) return domain_ == kUnix ? -EINVAL : -EAFNOSUPPORT;
  if (local_.family != kUnspecified) return -EINVAL;
  return SocketNames::Take(this, address);
}

int64_t Socket::BindAnyPort(const SocketAddress& like) {
  if (local_.family != kUnspecified) return 0;
  SocketAddress any = like;
  any.family = domain_;
  any.port = 0;
  return SocketNames::Take(this, any);
}

uint64_t Socket::Deadline(uint32_t flags, uint64_t timeout_ns) const {
  if ((status_flags & kNonBlock) || (flags & kMessageDontWait)) return kAtOnce;
  return timeout_ns == 0 ? kNever : After(Monotonic(), timeout_ns);
}

int64_t CreateSocket(int domain, int type, int protocol, Socket** socket) {
  if (domain != kUnix && domain != kInet && domain != kInet6) return -EAFNOSUPPORT;
  const bool stream = type == kStream || (type == kSequenced && domain == kUnix);
  constexpr int kRaw = 3;
  if (type == kRaw && domain != kUnix) return -EPERM;
  if (!stream && type != kDatagram) return -ESOCKTNOSUPPORT;
  const int expected = domain == kUnix ? kUnix : stream ? kProtocolTcp : kProtocolUdp;
  if (protocol != 0 && protocol != expected) return -EPROTONOSUPPORT;
  *socket = stream ? NewStreamSocket(domain, type) : NewDatagramSocket(domain);
  if (*socket == nullptr) return -ENOMEM;
  (*socket)->status_flags = kReadWriteMode;
  return 0;
}

}  // namespace usetl::kernel
