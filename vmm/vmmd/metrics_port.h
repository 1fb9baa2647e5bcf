// metrics_port.h: the pool's numbers for Prometheus, by the daemon that has them.
//
// usetl-vmmd parses no byte that a network chose. So there is no HTTP server here: whoever connects
// and sends something gets the one answer that there is, whatever it was that he sent; the kernel
// throws that away, it is never copied into this process.
#ifndef USETL_VMM_VMMD_METRICS_PORT_H_
#define USETL_VMM_VMMD_METRICS_PORT_H_

#include <functional>
#include <list>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// For the daemon's event loop, which it never keeps: all sockets are non-blocking, and so many
// clients at once are served at most that those who do nothing are in nobody's way.
class MetricsPort {
 public:
  static constexpr size_t kMostClients = 8;

  // `address`: ADDRESS:PORT, numeric. `watch` has the loop wait for a socket to be readable, once
  // for the port itself and for each client; closing takes it out. `text`: the numbers now.
  static Result<MetricsPort> Open(const std::string& address, std::function<Status(int fd)> watch,
                                  std::function<std::string()> text);

  // Is it one of its sockets?
  bool Owns(int fd) const;
  // One of them is readable.
  void OnReadable(int fd);

 private:
  struct Client {
    Fd socket;
    bool answered = false;
  };

  MetricsPort() = default;
  void Accept();

  Fd listener_;
  std::list<Client> clients_;  // oldest first
  std::function<Status(int fd)> watch_;
  std::function<std::string()> text_;
};

}  // namespace usetl

#endif  // USETL_VMM_VMMD_METRICS_PORT_H_
