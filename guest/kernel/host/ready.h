// ready.h: the snapshot point.
#ifndef USETL_GUEST_KERNEL_HOST_READY_H_
#define USETL_GUEST_KERNEL_HOST_READY_H_

#include <cstdint>

namespace usetl::kernel {

// Makes memory fit for a snapshot and stops there. Returns 0 in the baking VM and in every restored
// one; -EBUSY when something is open that a snapshot must not hold.
int64_t ReachReady();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_READY_H_
