// seccomp.h: the system calls that a usf process may make once the guest runs.
#ifndef USETL_VMM_USF_SECCOMP_H_
#define USETL_VMM_USF_SECCOMP_H_

#include "vmm/base/status.h"

namespace usetl {

// Everything that is not listed in seccomp.cc kills the process. `bake`: with what a snapshot
// takes.
Status ApplySeccomp(bool bake);

}  // namespace usetl

#endif  // USETL_VMM_USF_SECCOMP_H_
