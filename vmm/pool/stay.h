// stay.h: a USF's time in the cgroups of a pod (vmm/vmmd/stays.cc).
#ifndef USETL_VMM_POOL_STAY_H_
#define USETL_VMM_POOL_STAY_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// As root has opened them: they move any process. Whoever shares them is in the same pod.
using CgroupFiles = std::shared_ptr<const std::vector<Fd>>;

// A process that another thread moves into cgroups of version 2 (vmm/vmmd/mover.h). It is not
// reaped before that is over: its number may become another one's.
struct CgroupMove {
  CgroupFiles files;
  pid_t process;
  // When the other thread began it; zero: it waits for others.
  std::atomic<std::chrono::steady_clock::time_point> begun{};
  std::atomic<bool> cancelled = false;  // the process was killed: what is left is not done
  Status status;                        // of the move, once it is over
  bool over = false;                    // the loop's: it has heard of the end
};

struct Stay {
  // kWaiting: it has the time until `due`. kEntering, kLeaving: it was told to.
  enum class State { kOutside, kWaiting, kEntering, kInside, kLeaving };
  State state = State::kOutside;
  std::chrono::steady_clock::time_point due;
  CgroupFiles files;                 // where it enters
  std::vector<Fd> home;              // where it goes back to, opened as its user
  bool entered = false;              // it has said so
  bool unproved = false;             // it had descriptors of cgroups, and may have kept some
  std::shared_ptr<CgroupMove> move;  // version 2
};

}  // namespace usetl

#endif  // USETL_VMM_POOL_STAY_H_
