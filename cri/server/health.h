// health.h: whether the daemons that run functions answer.
#ifndef USETL_CRI_SERVER_HEALTH_H_
#define USETL_CRI_SERVER_HEALTH_H_

#include <chrono>
#include <mutex>
#include <string>

#include "cri/server/capacity.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Thread-safe. kubelet asks every few seconds, and takes all functions of a node that is not ready
// out of service: what has just been asked is not asked again, and a daemon that is slow for a
// moment is not one that hangs.
class Health {
 public:
  struct Answer {
    Status status;            // for people
    const char* reason = "";  // one word, with an error
  };

  // Sockets of usetl-proxy and usetl-vmmd. `capacity`, which must outlive this, learns what the
  // latter says.
  Health(std::string pods, std::string vmmd, Capacity* capacity)
      : pods_(std::move(pods)), vmmd_(std::move(vmmd)), capacity_(*capacity) {}

  // Takes 1.5 s at most.
  Answer Check();

 private:
  using Clock = std::chrono::steady_clock;
  Answer Ask();
  // What the answer, or its lack, means. `last`: when this daemon answered last.
  static Status Judge(const char* daemon, const Status& answer, Clock::time_point* last);

  const std::string pods_, vmmd_;
  Capacity& capacity_;
  std::mutex mutex_;
  Clock::time_point asked_, proxy_answered_, vmmd_answered_;
  Answer answer_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_HEALTH_H_
