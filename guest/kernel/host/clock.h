// clock.h: time from the host's clock page. Nanoseconds, same origin as the host's clocks.
#ifndef USETL_GUEST_KERNEL_HOST_CLOCK_H_
#define USETL_GUEST_KERNEL_HOST_CLOCK_H_

#include <cstdint>

namespace usetl::kernel {

inline constexpr uint64_t kNever = ~0ull;
inline constexpr uint64_t kAtOnce = 0;  // as a deadline: do not wait

uint64_t Monotonic();
uint64_t Realtime();

// now + delta without wrapping past kNever.
constexpr uint64_t After(uint64_t now, uint64_t delta) {
  return delta > kNever - 1 - now ? kNever - 1 : now + delta;
}

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_CLOCK_H_
