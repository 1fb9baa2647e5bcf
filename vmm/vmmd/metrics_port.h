// metrics_port.h: the pool's numbers for Prometheus, by the daemon that has them.
//
// usetl-vmmd parses no byte that a network chose. So there is no HTTP server here: whoever connects
// and sends something gets the one answer that there is, whatever it was that he sent; the kernel
// throws that away, it is never copied into this process.
#ifndef USETL_VMM_VMMD_METRICS_PORT_H_
#define USETL_VMM_VMMD_METRICS_PORT_H_

#include <chrono>
#include <functional>
#include <list>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// For the daemon's event loop, which it never keeps: all sockets are non-blocking, there are so
// many clients at most, and one that has been answered may send so much more. Those who have been
// answered or who do not ask are in nobody's way; where there are none of these, who comes has to
// come again.
class MetricsPort {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMostClients = 8;
  static constexpr size_t kMostBehind = 64 << 10;  // bytes
  // Who has not asked by then may lose his place.
  static constexpr std::chrono::seconds kPatience{1};

  // `address`: ADDRESS:PORT, numeric. `watch` has the loop wait for a socket to be readable, once
  // for the port itself and for each client; closing takes it out. `text`: the numbers now.
  static Result<MetricsPort> Open(const std::string& address, std::function<Status(int fd)> watch,
                                  std::function<std::string()> text,
                                  std::function<Clock::time_point()> now = Clock::now);

  // Is it one of its sockets?
  bool Owns(int fd) const;
  // One of them is readable. An error: nobody can be accepted, for want of descriptors or memory;
  // listener() is to be left alone for a while.
  Status OnReadable(int fd);
  int listener() const { return listener_.get(); }

 private:
  struct Client {
    Fd socket;
    Clock::time_point since;
    bool answered = false;
    size_t behind = 0;  // bytes that came after what was answered
  };

  MetricsPort() = default;
  Status Accept();
  // False: all of them may ask still.
  bool MakeRoom();

  Fd listener_;
  std::list<Client> clients_;  // oldest first
  std::function<Status(int fd)> watch_;
  std::function<std::string()> text_;
  std::function<Clock::time_point()> now_;
};

}  // namespace usetl

#endif  // USETL_VMM_VMMD_METRICS_PORT_H_
