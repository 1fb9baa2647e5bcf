// reaper.h: processes of USFs that were killed and have not ended yet.
//
// A killed process ends when it gets processor time next. In a cgroup with a small limit that takes
// seconds, which nobody else on the node shall wait for.
#ifndef USETL_VMM_POOL_REAPER_H_
#define USETL_VMM_POOL_REAPER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/pool/stay.h"

namespace usetl {

// Has got its SIGKILL, and is a child of this process.
struct KilledProcess {
  pid_t pid = -1;
  CgroupFiles cgroups;               // that it may be in; null: none
  std::shared_ptr<CgroupMove> move;  // that it may be in the middle of; null: none
  uint64_t region_bytes = 0;         // of memory that its host region holds
};

// For one thread to use.
class Reaper {
 public:
  static Result<std::unique_ptr<Reaper>> Create();
  // Waits for all; those that the kernel cannot end in time are left to whoever inherits them.
  // REQUIRES: nobody moves one of them any more.
  ~Reaper();
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // Cancels its move. Of none (pid -1) it does nothing.
  void Take(KilledProcess process);
  // Reaps those that have ended. Call it when fd() is readable and when a move is over; while
  // blind(), now and then.
  void Reap();
  int fd() const { return epoll_.get(); }
  // There are some whose end fd() does not tell, for want of descriptors or memory.
  bool blind() const { return blind_ > 0; }

  // Whether one is left that may be in these cgroups. Of none: false.
  bool HasIn(const CgroupFiles& cgroups) const;
  // Memory of the host regions of all that are left.
  uint64_t RegionBytes() const;
  size_t size() const { return processes_.size(); }

 private:
  struct Watched {
    KilledProcess process;
    Fd pidfd;  // none: it is looked at each time
    bool ended = false;
  };

  explicit Reaper(Fd epoll) : epoll_(std::move(epoll)) {}
  bool Watch(Watched* watched) const;

  Fd epoll_;  // of the pidfds
  std::map<pid_t, Watched> processes_;
  size_t blind_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_POOL_REAPER_H_
