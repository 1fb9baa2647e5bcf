#include "cri/streaming/poller.h"

#include <algorithm>

namespace usetl::cri::streaming {

Result<bool> Poller::Wait(std::chrono::milliseconds limit) {
  std::vector<pollfd> fds;
  std::vector<std::function<Status()>> ready;
  fds.swap(fds_);
  ready.swap(ready_);
  constexpr int64_t kMostMs = 60'000;  // what fits, and callers look at their clocks again
  const auto ms = static_cast<int>(std::clamp<int64_t>(limit.count(), 0, kMostMs));
  const int count = poll(fds.data(), fds.size(), ms);
  if (count < 0) return errno == EINTR ? Result<bool>(false) : Status::Errno("poll");
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i].revents != 0) USETL_RETURN_IF_ERROR(ready[i]());
  }
  return count > 0;
}

}  // namespace usetl::cri::streaming
