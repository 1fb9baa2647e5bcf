// options.h: what setsockopt(2) may set. Most of it has no effect within one machine, but is
// remembered, so that a program reads what it wrote.
#ifndef USETL_GUEST_KERNEL_SOCKET_OPTIONS_H_
#define USETL_GUEST_KERNEL_SOCKET_OPTIONS_H_

#include <cstdint>

namespace usetl::kernel {

class Socket;

inline constexpr uint32_t kPlainOptions = 45;  // rows of the table in options.cc

struct SocketOptions {
  int32_t plain[kPlainOptions] = {};
  uint64_t plain_set = 0;  // a bit for each that was set; others have the table's value
  bool reuse_address = false, reuse_port = false, only_v6 = false;
  int32_t linger[2] = {};
  uint64_t receive_ns = 0, send_ns = 0;  // 0: no timeout
};

int64_t SetOption(Socket* socket, int level, int name, const void* user, uint32_t size);
int64_t GetOption(Socket* socket, int level, int name, void* user, uint32_t* user_size);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_OPTIONS_H_
