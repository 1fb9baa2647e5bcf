// worker_jail.h: what a worker of usetl-proxy may still do.
#ifndef USETL_VMM_PROXY_DAEMON_WORKER_JAIL_H_
#define USETL_VMM_PROXY_DAEMON_WORKER_JAIL_H_

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

// The system calls that workers may make: everything that is not listed in worker_jail.cc kills the
// process. Compiled once, by the daemon.
class WorkerFilter {
 public:
  // A container's worker also serves ports and leaves its exit in a file; the service of its mounts
  // does nothing but that.
  enum class For { kClient, kContainer, kMountService };
  static Result<WorkerFilter> Compile(For whom);

  // For this thread and those that it starts, with no_new_privs; cannot be undone.
  Status Apply() const;

 private:
  std::vector<sock_filter> program_;
};

// No capabilities, a user of its own, the group that operators open directories to, no way back.
// REQUIRES: one thread, a child of `daemon`; all that needs more rights is done.
Status DropPrivileges(uid_t uid, gid_t gid, pid_t daemon);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_DAEMON_WORKER_JAIL_H_
