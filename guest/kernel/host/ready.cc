#include "guest/kernel/host/ready.h"

#include <asm/errno.h>

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {

int64_t ReachReady() {
  ScrubHeap();
  ScrubKernelPages();
  abi::GuestPage& page = guest_page();
  page.unimplemented = page.last_unimplemented = page.memory_refused = 0;
  for (uint8_t& times : page.unimplemented_by_number) times = 0;
  if (CallHost(abi::CallOp::kReady) != 0) return -EBUSY;
  // A restored VM goes on here: fresh rings, clock, entropy and limits.
  ResetMailbox();
  FormatGuestRegion();
  UpdateExitWork();
  return 0;
}

}  // namespace usetl::kernel
