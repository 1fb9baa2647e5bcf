// ports.h: the TCP ports of a container.
#ifndef USETL_VMM_PROXY_POD_PORTS_H_
#define USETL_VMM_PROXY_POD_PORTS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::pod {

// Bound, but not listening: a client is refused until the function is loaded, as it would be by a
// server that still starts.
class Ports {
 public:
  // All addresses of the pod, both families. The descriptors do not block.
  static Result<Ports> Bind(std::span<const uint16_t> numbers);

  // For whoever listens.
  std::vector<Fd> Release() { return std::move(sockets_); }
  void Close() { sockets_.clear(); }

 private:
  std::vector<Fd> sockets_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_PORTS_H_
