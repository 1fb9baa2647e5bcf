// socket.h: messages with descriptors over SOCK_SEQPACKET unix sockets.
//
// gRPC cannot carry descriptors, and regions, rings and eventfds are descriptors: that is why the
// daemons talk in records of their own.
#ifndef USETL_VMM_IPC_SOCKET_H_
#define USETL_VMM_IPC_SOCKET_H_

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::ipc {

inline constexpr size_t kMaxMessage = 64 << 10;
inline constexpr size_t kMaxDescriptors = 64;  // who adds several lists up asserts that they fit

struct Message {
  std::vector<uint8_t> bytes;
  std::vector<Fd> fds;
};

// Sends one message in two parts. EAGAIN when a non-blocking socket is full, EPIPE when the peer
// left.
Status Send(int socket, std::span<const uint8_t> head, std::span<const uint8_t> body = {},
            std::span<const int> fds = {});

// Receives one message. Code ECONNRESET with "the peer left" at the end; EAGAIN when nothing is
// there. Truncated messages and too many descriptors are errors (the peer breaks the rules).
Result<Message> Receive(int socket);

// A listening socket at `path`, mode 0600. Replaces a socket that nobody listens at; EADDRINUSE
// when somebody does, EEXIST when something else is there.
Result<Fd> Listen(const std::string& path);
// Waits `limit` (0: for ever) for a place in the listener's queue, then ETIMEDOUT. What is sent
// over the connection may wait as long (EAGAIN).
Result<Fd> Connect(const std::string& path, std::chrono::milliseconds limit = {});
// A connected pair, close-on-exec.
Result<std::pair<Fd, Fd>> Pair();

template <typename T>
std::span<const uint8_t> Bytes(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace usetl::ipc

#endif  // USETL_VMM_IPC_SOCKET_H_
