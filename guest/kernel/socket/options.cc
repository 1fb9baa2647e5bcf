#include "guest/kernel/socket/options.h"

#include "guest/kernel/file/pipe.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {
namespace {

// Options that are one number and mean nothing here, with what they are at first.
struct PlainOption {
  int level, name;
  int32_t first;
};
constexpr PlainOption kPlain[] = {
    {kLevelSocket, kOptBroadcast, 0},
    {kLevelSocket, kOptSendBuffer, Channel::kCapacity},
    {kLevelSocket, kOptReceiveBuffer, Channel::kCapacity},
    {kLevelSocket, kOptKeepAlive, 0},
    {kLevelSocket, kOptPriority, 0},
    {kLevelSocket, kOptPassCredentials, 0},
    {kLevelSocket, 5, 0},   // SO_DONTROUTE
    {kLevelSocket, 10, 0},  // SO_OOBINLINE
    {kLevelSocket, 18, 1},  // SO_RCVLOWAT
    {kLevelSocket, 29, 0},  // SO_TIMESTAMP
    {kLevelSocket, 35, 0},  // SO_TIMESTAMPNS
    {kLevelSocket, 36, 0},  // SO_MARK
    {kLevelSocket, 46, 0},  // SO_BUSY_POLL
    {kLevelSocket, 60, 0},  // SO_ZEROCOPY
    {kLevelTcp, kOptTcpNoDelay, 0},
    {kLevelTcp, kOptTcpCork, 0},
    {kLevelTcp, kOptTcpKeepIdle, 7200},
    {kLevelTcp, kOptTcpKeepInterval, 75},
    {kLevelTcp, kOptTcpKeepCount, 9},
    {kLevelTcp, kOptTcpDeferAccept, 0},
    {kLevelTcp, kOptTcpQuickAck, 1},
    {kLevelTcp, kOptTcpUserTimeout, 0},
    {kLevelTcp, kOptTcpFastOpen, 0},
    {kLevelTcp, 2, 65483},  // TCP_MAXSEG
    {kLevelTcp, 7, 6},      // TCP_SYNCNT
    {kLevelTcp, 8, 60},     // TCP_LINGER2
    {kLevelTcp, 10, 0},     // TCP_WINDOW_CLAMP
    {kLevelTcp, 25, 0},     // TCP_NOTSENT_LOWAT
    {kLevelIp, kOptIpTypeOfService, 0},
    {kLevelIp, kOptIpTimeToLive, 64},
    {kLevelIp, 8, 0},     // IP_PKTINFO
    {kLevelIp, 10, 1},    // IP_MTU_DISCOVER
    {kLevelIp, 11, 0},    // IP_RECVERR
    {kLevelIp, 13, 0},    // IP_RECVTOS
    {kLevelIp, 15, 0},    // IP_FREEBIND
    {kLevelIp, 24, 0},    // IP_BIND_ADDRESS_NO_PORT
    {kLevelIp, 33, 1},    // IP_MULTICAST_TTL
    {kLevelIp, 34, 1},    // IP_MULTICAST_LOOP
    {kLevelIp6, 16, 64},  // IPV6_UNICAST_HOPS
    {kLevelIp6, 18, 1},   // IPV6_MULTICAST_HOPS
    {kLevelIp6, 19, 1},   // IPV6_MULTICAST_LOOP
    {kLevelIp6, 23, 1},   // IPV6_MTU_DISCOVER
    {kLevelIp6, 25, 0},   // IPV6_RECVERR
    {kLevelIp6, 49, 0},   // IPV6_RECVPKTINFO
    {kLevelIp6, 67, 0},   // IPV6_TCLASS
};
constexpr uint32_t kPlainCount = sizeof kPlain / sizeof kPlain[0];
static_assert(kPlainCount == kPlainOptions && kPlainCount <= 64);

uint32_t FindPlain(int level, int name) {
  uint32_t i = 0;
  while (i < kPlainCount && (kPlain[i].level != level || kPlain[i].name != name)) ++i;
  return i;
}

// Levels of the Internet belong to sockets of the Internet.
int64_t CheckLevel(const Socket& socket, int level) {
  if (level == kLevelSocket) return 0;
  if (socket.domain() == kUnix) return -EOPNOTSUPP;
  if (level == kLevelIp6 && socket.domain() != kInet6) return -ENOPROTOOPT;
  if (level == kLevelTcp && socket.type() != kStream) return -ENOPROTOOPT;
  return level == kLevelTcp || level == kLevelIp || level == kLevelIp6 ? 0 : -ENOPROTOOPT;
}

int64_t SetTimeout(const void* user, uint32_t size, uint64_t* ns) {
  TimeVal value;
  if (size < sizeof value) return -EINVAL;
  if (!CopyFromUser(&value, user, sizeof value)) return -EFAULT;
  if (value.microseconds < 0 || value.microseconds >= 1'000'000) return -EDOM;
  if (value.seconds < 0) value = {};  // as Linux takes it: at once means never here
  const int64_t total = ToNanoseconds({value.seconds, value.microseconds * 1000});
  *ns = static_cast<uint64_t>(total);
  return 0;
}

}  // namespace

int64_t SetOption(Socket* socket, int level, int name, const void* user, uint32_t size) {
  if (const int64_t error = CheckLevel(*socket, level); error != 0) return error;
  SocketOptions& options = socket->options();
  if (level == kLevelSocket && name == kOptReceiveTimeout) {
    return SetTimeout(user, size, &options.receive_ns);
  }
  if (level == kLevelSocket && name == kOptSendTimeout) {
    return SetTimeout(user, size, &options.send_ns);
  }
  if (level == kLevelSocket && name == kOptLinger) {
    if (size < sizeof options.linger) return -EINVAL;
    return CopyFromUser(options.linger, user, sizeof options.linger) ? 0 : -EFAULT;
  }
  int32_t value;
  if (size < sizeof value) return -EINVAL;
  if (!CopyFromUser(&value, user, sizeof value)) return -EFAULT;
  if (level == kLevelSocket && name == kOptReuseAddress) {
    options.reuse_address = value != 0;
  } else if (level == kLevelSocket && name == kOptReusePort) {
    options.reuse_port = value != 0;
  } else if (level == kLevelIp6 && name == kOptIp6Only) {
    if (socket->local().family != kUnspecified) return -EINVAL;
    options.only_v6 = value != 0;
  } else if (const uint32_t i = FindPlain(level, name); i < kPlainCount) {
    options.plain[i] = value;
    options.plain_set |= 1ull << i;
  } else {
    return -ENOPROTOOPT;
  }
  return 0;
}

int64_t GetOption(Socket* socket, int level, int name, void* user, uint32_t* user_size) {
  uint32_t room;
  if (!GetUser(&room, user_size)) return -EFAULT;
  if (static_cast<int32_t>(room) < 0) return -EINVAL;
  if (const int64_t error = CheckLevel(*socket, level); error != 0) return error;
  const SocketOptions& options = socket->options();
  union {
    int32_t number;
    int32_t linger[2];
    TimeVal time;
    Credentials credentials;
  } answer{};
  uint32_t size = sizeof answer.number;
  if (level == kLevelSocket) {
    switch (name) {
      case kOptType:
        answer.number = socket->type();
        break;
      case kOptDomain:
        answer.number = socket->domain();
        break;
      case kOptProtocol:
        answer.number = socket->domain() == kUnix   ? 0
                        : socket->type() == kStream ? kProtocolTcp
                                                    : kProtocolUdp;
        break;
      case kOptError:
        break;  // errors are told by the calls that meet them
      case kOptAccepting:
        answer.number = socket->listening();
        break;
      case kOptReuseAddress:
        answer.number = options.reuse_address;
        break;
      case kOptReusePort:
        answer.number = options.reuse_port;
        break;
      case kOptLinger:
        memcpy(answer.linger, options.linger, sizeof answer.linger);
        size = sizeof answer.linger;
        break;
      case kOptReceiveTimeout:
      case kOptSendTimeout: {
        const TimeSpec spec =
            ToTimeSpec(name == kOptSendTimeout ? options.send_ns : options.receive_ns);
        answer.time = {spec.seconds, spec.nanoseconds / 1000};
        size = sizeof answer.time;
        break;
      }
      case kOptPeerCredentials:
        if (socket->domain() != kUnix) return -ENOPROTOOPT;
        answer.credentials = {1, 0, 0};  // the one process there is
        size = sizeof answer.credentials;
        break;
      default:
        size = 0;
    }
  } else if (level == kLevelIp6 && name == kOptIp6Only) {
    answer.number = options.only_v6;
  } else {
    size = 0;
  }
  if (size == 0) {
    const uint32_t i = FindPlain(level, name);
    if (i == kPlainCount) return -ENOPROTOOPT;
    answer.number = options.plain_set >> i & 1 ? options.plain[i] : kPlain[i].first;
    size = sizeof answer.number;
  }
  if (size > room) size = room;
  return CopyToUser(user, &answer, size) && PutUser(user_size, size) ? 0 : -EFAULT;
}

}  // namespace usetl::kernel
