// random.h: the kernel's random numbers: ChaCha20 keyed by the host's entropy.
//
// Rekeyed whenever HostPage::generation changes, so a clone or a rolled-back USF never repeats.
#ifndef USETL_GUEST_KERNEL_HOST_RANDOM_H_
#define USETL_GUEST_KERNEL_HOST_RANDOM_H_

#include <cstdint>

namespace usetl::kernel {

// Before a clone draws: what its original drew must not come again.
void ForgetEntropy();
void FillRandom(void* bytes, uint64_t size);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_RANDOM_H_
