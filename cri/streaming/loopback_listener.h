// loopback_listener.h: a listening TCP socket that only this machine reaches.
#ifndef USETL_CRI_STREAMING_LOOPBACK_LISTENER_H_
#define USETL_CRI_STREAMING_LOOPBACK_LISTENER_H_

#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

struct LoopbackListener {
  Fd socket;            // nonblocking
  std::string address;  // HOST:PORT as in an URL, the port that was bound
};

// `address` as "127.0.0.1:0" or "[::1]:10010". EINVAL when it is not such an address, or not a
// loopback one: what passes here is neither encrypted nor known by more than a token.
Result<LoopbackListener> ListenOnLoopback(const std::string& address);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_LOOPBACK_LISTENER_H_
