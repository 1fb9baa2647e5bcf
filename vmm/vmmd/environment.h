// environment.h: what USFs share and cannot make for themselves once they are jailed.
#ifndef USETL_VMM_VMMD_ENVIRONMENT_H_
#define USETL_VMM_VMMD_ENVIRONMENT_H_

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// A directory with nothing in it, on a file system of its own that nobody else sees.
Result<Fd> MakeEmptyRoot();

// A network namespace with no interface up.
Result<Fd> MakeEmptyNetwork();

}  // namespace usetl

#endif  // USETL_VMM_VMMD_ENVIRONMENT_H_
