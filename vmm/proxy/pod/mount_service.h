// mount_service.h: the process beside a worker that reads and changes the directories that are
// mounted into a container, as the container's user.
//
// The worker talks with the guest and is not trusted here. The service holds nothing but detached
// mounts, one of which is its root directory, and makes few system calls; a disk that hangs keeps
// it, not the worker. It ends with the worker.
#ifndef USETL_VMM_PROXY_POD_MOUNT_SERVICE_H_
#define USETL_VMM_PROXY_POD_MOUNT_SERVICE_H_

#include <functional>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/join.h"

namespace usetl::pod {

// The worker's hold on it. The first message is the size of the guest region (uint64_t) with its
// descriptor; each further one the payload of a kMountChange, answered in order by a MountDone and
// what it announces. What a kOpen or kRead gave lies in `buffer`, which both write, until the next
// message: a piece of the file, which is all that the service ever writes of anybody's memory. No
// disk that hangs may write to a region after the worker has given that back.
struct MountService {
  Fd socket;
  Mapping buffer;

  static constexpr size_t kBuffer = 256 << 10;
};

// Forks it. `jail` leaves it the system calls that it may make. REQUIRES: root and one thread;
// `join` has directories.
Result<MountService> StartMountService(const Join& join, const std::function<Status()>& jail);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_SERVICE_H_
