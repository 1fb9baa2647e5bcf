// message.h: what sendmsg(2), recvmsg(2), readv(2) and writev(2) do on sockets.
#ifndef USETL_GUEST_KERNEL_SOCKET_MESSAGE_H_
#define USETL_GUEST_KERNEL_SOCKET_MESSAGE_H_

#include "guest/kernel/linux/socket.h"
#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {

inline constexpr uint64_t kMostPieces = 1024;  // UIO_MAXIOV

// One message, or bytes of a stream, from or to `count` pieces of application memory. -EMSGSIZE for
// more than kMostPieces.
int64_t SendPieces(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                   const SocketAddress* to);
// `from`: who sent it. `*cut`: the message was longer than the pieces.
int64_t ReceivePieces(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                      SocketAddress* from, bool* cut);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_MESSAGE_H_
