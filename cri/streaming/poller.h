// poller.h: waits for descriptors, and says to each that is ready what to do.
#ifndef USETL_CRI_STREAMING_POLLER_H_
#define USETL_CRI_STREAMING_POLLER_H_

#include <poll.h>

#include <chrono>
#include <functional>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri::streaming {

class Poller {
 public:
  // For the next Wait only. An error of `ready` ends that wait.
  void Watch(int fd, short events, std::function<Status()> ready) {
    fds_.push_back({fd, events, 0});
    ready_.push_back(std::move(ready));
  }

  // False: nothing became ready within `limit`. What one of them does may end another: their
  // functions look again for what they use.
  Result<bool> Wait(std::chrono::milliseconds limit);

 private:
  std::vector<pollfd> fds_;
  std::vector<std::function<Status()>> ready_;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_POLLER_H_
