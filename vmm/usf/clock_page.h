// clock_page.h: the clock and entropy that the host gives the guest.
#ifndef USETL_VMM_USF_CLOCK_PAGE_H_
#define USETL_VMM_USF_CLOCK_PAGE_H_

#include "vmm/abi/control.h"
#include "vmm/base/status.h"

namespace usetl {

// A new generation: entropy from getrandom(2), and the host's clocks as they are now. For a guest
// in which nothing remembers an earlier time. `tsc_khz` is the counter's frequency.
Status NewGeneration(abi::HostPage* page, uint64_t tsc_khz);

// Brings the clocks of a guest that goes on up to the host's. Its monotonic clock never steps back:
// where it is ahead, as the counter and the host's corrected clock drift apart, it goes slower
// until the next call. REQUIRES: NewGeneration().
void RefreshClock(abi::HostPage* page, uint64_t tsc_khz);

// The monotonic clock as the guest reads it now, ns.
uint64_t GuestMonotonic(const abi::HostPage& page);

}  // namespace usetl

#endif  // USETL_VMM_USF_CLOCK_PAGE_H_
