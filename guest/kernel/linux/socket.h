// socket.h: constants and structures of the socket calls, Linux x86-64 (<linux/socket.h>,
// <linux/in.h>, <linux/in6.h>, <linux/un.h>, <asm-generic/socket.h>).
#ifndef USETL_GUEST_KERNEL_LINUX_SOCKET_H_
#define USETL_GUEST_KERNEL_LINUX_SOCKET_H_

#include <cstdint>

#include "guest/kernel/linux/abi.h"

namespace usetl::kernel {

// Families and types; kTypeMask leaves out SOCK_NONBLOCK and SOCK_CLOEXEC.
inline constexpr int kUnspecified = 0, kUnix = 1, kInet = 2, kInet6 = 10;
inline constexpr int kStream = 1, kDatagram = 2, kSequenced = 5, kTypeMask = 0xf;

inline constexpr int kProtocolTcp = 6, kProtocolUdp = 17;

// Of send and recv.
inline constexpr uint32_t kMessagePeek = 2, kMessageOutOfBand = 1, kMessageTruncate = 0x20;
inline constexpr uint32_t kMessageDontWait = 0x40, kMessageWaitAll = 0x100;
inline constexpr uint32_t kMessageErrorQueue = 0x2000, kMessageNoSignal = 0x4000;

// Of shutdown.
inline constexpr int kShutRead = 0, kShutWrite = 1, kShutBoth = 2;

// Levels and names of options.
inline constexpr int kLevelSocket = 1, kLevelIp = 0, kLevelTcp = 6, kLevelIp6 = 41;
inline constexpr int kOptReuseAddress = 2, kOptType = 3, kOptError = 4, kOptBroadcast = 6;
inline constexpr int kOptSendBuffer = 7, kOptReceiveBuffer = 8, kOptKeepAlive = 9;
inline constexpr int kOptPriority = 12, kOptLinger = 13, kOptReusePort = 15,
                     kOptPassCredentials = 16;
inline constexpr int kOptPeerCredentials = 17, kOptReceiveTimeout = 20, kOptSendTimeout = 21;
inline constexpr int kOptAccepting = 30, kOptProtocol = 38, kOptDomain = 39;
inline constexpr int kOptTcpNoDelay = 1, kOptTcpCork = 3, kOptTcpKeepIdle = 4,
                     kOptTcpKeepInterval = 5;
inline constexpr int kOptTcpKeepCount = 6, kOptTcpDeferAccept = 9, kOptTcpQuickAck = 12;
inline constexpr int kOptTcpUserTimeout = 18, kOptTcpFastOpen = 23;
inline constexpr int kOptIpTypeOfService = 1, kOptIpTimeToLive = 2, kOptIp6Only = 26;

inline constexpr uint32_t kUnixPathRoom = 108;

struct InetAddress {  // struct sockaddr_in; port and address in network order
  uint16_t family, port;
  uint8_t address[4];
  uint8_t zero[8];
};
struct Inet6Address {  // struct sockaddr_in6
  uint16_t family, port;
  uint32_t flow;
  uint8_t address[16];
  uint32_t scope;
};
struct UnixAddress {  // struct sockaddr_un
  uint16_t family;
  char path[kUnixPathRoom];
};
static_assert(sizeof(InetAddress) == 16 && sizeof(Inet6Address) == 28 &&
              sizeof(UnixAddress) == 110);

struct MessageHeader {  // struct msghdr
  void* name;
  uint32_t name_size, padding;
  IoVec* vectors;
  uint64_t vector_count;
  void* control;
  uint64_t control_size;
  uint32_t flags, padding2;
};
static_assert(sizeof(MessageHeader) == 56);

struct Credentials {  // struct ucred
  int32_t pid;
  uint32_t uid, gid;
};

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_LINUX_SOCKET_H_
