// warm_up.h: dummy runs that touch what every function touches, before a USF enters the pool.
#ifndef USETL_VMM_USF_WARM_UP_H_
#define USETL_VMM_USF_WARM_UP_H_

#include "vmm/snapshot/rollback.h"

namespace usetl {

// Loads and invokes the runtime's own warm-up function `times` times, each followed by a rollback:
// second-level tables get filled and the hot set is learned. The VM ends as in the snapshot and
// idle.
Status WarmUp(Vm* vm, Rollback* rollback, uint32_t times);

// Runs the VM until it idles; an error when it ends instead.
Status RunUntilIdle(Vm* vm);

}  // namespace usetl

#endif  // USETL_VMM_USF_WARM_UP_H_
