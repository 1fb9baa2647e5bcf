// mount_service.h: the process beside a worker that changes the directories of a container's
// writable mounts, as the container's user.
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

// Forks it; the result is the worker's end of the connection. Its first message is the size of the
// guest region (uint64_t) with its descriptor; each further one the payload of a kMountChange,
// answered by an errno (int32_t). `jail` leaves it the system calls that it may make. REQUIRES:
// root and one thread; `join` has directories.
Result<Fd> StartMountService(const Join& join, const std::function<Status()>& jail);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_SERVICE_H_
