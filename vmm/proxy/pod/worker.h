// worker.h: what a worker of pods does with the connection of usetld.
#ifndef USETL_VMM_PROXY_POD_WORKER_H_
#define USETL_VMM_PROXY_POD_WORKER_H_

#include <functional>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/etl/file_origin.h"

namespace usetl::pod {

// Joins the pod, gives up root by `drop_privileges`, then runs one container to its end. `vmmd` is
// a connection to usetl-vmmd, or why there is none. `jail_mount_service`: for a process that is
// forked for writable mounts. Errors are told to usetld.
void Work(Fd usetld, Result<Fd> vmmd, const etl::ObjectStore& objects,
          const std::function<Status()>& drop_privileges,
          const std::function<Status()>& jail_mount_service);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_WORKER_H_
