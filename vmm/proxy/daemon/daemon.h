// daemon.h: usetl-proxy: one forked worker per function that runs.
//
// The daemon itself only forks workers ahead (spares.h); it never reads a byte that a client, a
// server or a guest sent.
#ifndef USETL_VMM_PROXY_DAEMON_DAEMON_H_
#define USETL_VMM_PROXY_DAEMON_DAEMON_H_

#include <functional>
#include <string>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

struct ProxyOptions {
  std::string socket;                // where clients connect
  std::string pods_socket;           // where usetld connects; empty: no containers
  std::string vmmd_socket;           // where workers claim USFs
  std::vector<std::string> objects;  // NAME=DIRECTORY, or NAME=DIRECTORY:rw, behind file: URLs
  uint32_t first_uid = 700'000;      // each worker has a user of its own, from a hundred thousand
  uint32_t gid = 65534;           // and this group, which directories of objects may be opened to
  std::function<Status()> ready;  // called once clients can connect
};

// Serves until SIGTERM or SIGINT; workers end with their clients.
Status RunProxy(const ProxyOptions& options);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_DAEMON_DAEMON_H_
