#include "guest/kernel/socket/socket.h"

#include "guest/kernel/host/clock.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/names.h"
#include "guest/kernel/socket/stream.h"

namespace usetl::kernel {

namespace {

uint64_t g_next_number = 1;

}  // namespace

Socket::Socket(int domain, int type) : number_(g_next_number++), domain_(domain), type_(type) {}

Socket::~Socket() { SocketNames::Release(this); }

int64_t Socket::GetStat(Stat* stat) {
  *stat = {};
  stat->mode = kStatModeSocket | 0777;
  stat->block_size = 4096;
  stat->links = 1;
  constexpr uint64_t kDevice = 8;  // sockfs, as far as anybody compares
  stat->device = kDevice;
  stat->inode = number_;
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
  char name[32];
  Format(name, sizeof name, "socket:[%u]", number_);
  const uint64_t length = strlen(name) < size ? strlen(name) : size;
  memcpy(buffer, name, length);
  return static_cast<int64_t>(length);
}

int64_t Socket::Deliver(const SocketAddress&, const void*, uint64_t, WaitQueue**) {
  return -ECONNREFUSED;
}

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
  if (!MayBuffer(1)) return -ENOBUFS;
  *socket = stream ? NewStreamSocket(domain, type) : NewDatagramSocket(domain);
  if (*socket == nullptr) return -ENOMEM;
  (*socket)->status_flags = kReadWriteMode;
  return 0;
}

int64_t CreateSocketPair(int type, Socket** first, Socket** second) {
  if (const int64_t error = CreateSocket(kUnix, type, 0, first); error != 0) return error;
  int64_t error = CreateSocket(kUnix, type, 0, second);
  if (error == 0) {
    if ((*first)->Join(*second)) return 0;
    error = -ENOMEM;
    (*second)->Unref();
  }
  (*first)->Unref();
  return error;
}

}  // namespace usetl::kernel
