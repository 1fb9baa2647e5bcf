#include "vmm/usf/clock_page.h"

#include <sys/random.h>
#include <time.h>
#include <x86intrin.h>

namespace usetl {
namespace {

uint64_t Nanoseconds(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

void RefreshClock(abi::HostPage* page, uint64_t tsc_khz) {
  abi::Clock& clock = page->clock;
  const uint64_t tsc = __rdtsc();
  uint64_t monotonic = Nanoseconds(CLOCK_MONOTONIC);
  const uint64_t realtime = Nanoseconds(CLOCK_REALTIME);
  if (clock.mul != 0) {
    const uint64_t guest =
        clock.monotonic_base +
        static_cast<uint64_t>(static_cast<unsigned __int128>(tsc - clock.tsc_base) * clock.mul >>
                              32);
    // Slewed clocks differ by parts per million; a restore after hours is a jump forward.
    if (guest > monotonic) monotonic = guest;
  }
  const uint32_t seq = clock.seq | 1;
  __atomic_store_n(&clock.seq, seq, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  clock.mul = static_cast<uint32_t>((1'000'000ull << 32) / tsc_khz);
  clock.tsc_base = tsc;
  clock.monotonic_base = monotonic;
  clock.realtime_base = realtime;
  __atomic_store_n(&clock.seq, seq + 1, __ATOMIC_RELEASE);
}

Status NewGeneration(abi::HostPage* page, uint64_t tsc_khz) {
  if (getrandom(page->entropy, sizeof page->entropy, 0) != sizeof page->entropy) {
    return Status::Errno("getrandom");
  }
  RefreshClock(page, tsc_khz);
  __atomic_store_n(&page->generation, page->generation + 1, __ATOMIC_RELEASE);
  return Status();
}

}  // namespace usetl
