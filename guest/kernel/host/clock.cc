#include "guest/kernel/host/clock.h"

#include "guest/kernel/host/control.h"

namespace usetl::kernel {
namespace {

uint64_t ReadTsc() {
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  return uint64_t{high} << 32 | low;
}

// Reads the clock under its seqlock: the host may renew it at any time.
uint64_t Now(bool realtime) {
  const volatile abi::Clock& clock = host_page().clock;
  for (;;) {
    const uint32_t seq = __atomic_load_n(&clock.seq, __ATOMIC_ACQUIRE);
    const uint64_t tsc_base = clock.tsc_base;
    const uint64_t mul = clock.mul;
    const uint64_t base = realtime ? clock.realtime_base : clock.monotonic_base;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((seq & 1) == 0 && clock.seq == seq) {
      const uint64_t delta = ReadTsc() - tsc_base;
      return base + static_cast<uint64_t>(static_cast<unsigned __int128>(delta) * mul >> 32);
    }
    asm volatile("pause");
  }
}

}  // namespace

uint64_t Monotonic() { return Now(false); }
uint64_t Realtime() { return Now(true); }

}  // namespace usetl::kernel
