// interfaces.h: what the interfaces of pods have carried.
#ifndef USETL_CRI_NETWORK_INTERFACES_H_
#define USETL_CRI_NETWORK_INTERFACES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace usetl::cri {

struct Interface {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
using Interfaces = std::vector<Interface>;

// Of the text of /proc/net/dev. The loopback counts only where a pod has nothing else.
Interfaces ParseInterfaces(std::string_view text);

// Of network namespaces by their paths, in one thread for all. Empty: the path is empty, or the
// namespace is gone.
std::vector<Interfaces> ReadInterfaces(const std::vector<std::string>& namespaces);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_INTERFACES_H_
