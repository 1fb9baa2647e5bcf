// clock_page.h: the clock and entropy that the host gives the guest.
#ifndef USETL_VMM_USF_CLOCK_PAGE_H_
#define USETL_VMM_USF_CLOCK_PAGE_H_

#include "vmm/abi/control.h"
#include "vmm/base/status.h"

namespace usetl {

// Writes the host's clocks as of now under the seqlock. `tsc_khz` is the counter's frequency. Time
// as the guest computes it never steps back across calls.
void RefreshClock(abi::HostPage* page, uint64_t tsc_khz);

// A new generation: entropy from getrandom(2) and a fresh clock.
Status NewGeneration(abi::HostPage* page, uint64_t tsc_khz);

}  // namespace usetl

#endif  // USETL_VMM_USF_CLOCK_PAGE_H_
