#include "vmm/usf/clock_page.h"

#include <sys/random.h>
#include <time.h>
#include <x86intrin.h>

namespace usetl {
namespace {

// A guest that is further ahead of the host goes slower by 1/kSlew, 488 ppm: about as much as
// adjtime(3) does.
constexpr uint64_t kTolerated = 1'000'000;  // ns
constexpr uint64_t kSlew = 2048;

uint64_t Nanoseconds(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

uint64_t MonotonicAt(const abi::Clock& clock, uint64_t tsc) {
  const auto passed = static_cast<unsigned __int128>(tsc - clock.tsc_base) * clock.mul;
  return clock.monotonic_base + static_cast<uint64_t>(passed >> 32);
}

// Under the seqlock: the guest may be reading.
void Write(abi::Clock* clock, uint64_t tsc, uint64_t mul, uint64_t monotonic, uint64_t realtime) {
  const uint32_t seq = clock->seq | 1;
  __atomic_store_n(&clock->seq, seq, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  clock->mul = static_cast<uint32_t>(mul);
  clock->tsc_base = tsc;
  clock->monotonic_base = monotonic;
  clock->realtime_base = realtime;
  __atomic_store_n(&clock->seq, seq + 1, __ATOMIC_RELEASE);
}

uint64_t NominalRate(uint64_t tsc_khz) { return (1'000'000ull << 32) / tsc_khz; }

}  // namespace

uint64_t GuestMonotonic(const abi::HostPage& page) { return MonotonicAt(page.clock, __rdtsc()); }

void RefreshClock(abi::HostPage* page, uint64_t tsc_khz) {
  const uint64_t tsc = __rdtsc();
  const uint64_t host = Nanoseconds(CLOCK_MONOTONIC);
  const uint64_t realtime = Nanoseconds(CLOCK_REALTIME);
  const uint64_t guest = MonotonicAt(page->clock, tsc);
  uint64_t mul = NominalRate(tsc_khz);
  if (guest > host && guest - host > kTolerated) mul -= mul / kSlew;
  Write(&page->clock, tsc, mul, guest > host ? guest : host, realtime);
}

Status NewGeneration(abi::HostPage* page, uint64_t tsc_khz) {
  if (getrandom(page->entropy, sizeof page->entropy, 0) != sizeof page->entropy) {
    return Status::Errno("getrandom");
  }
  // What the clock was counts for nothing: a snapshot may be of another boot of this machine.
  Write(&page->clock, __rdtsc(), NominalRate(tsc_khz), Nanoseconds(CLOCK_MONOTONIC),
        Nanoseconds(CLOCK_REALTIME));
  __atomic_store_n(&page->generation, page->generation + 1, __ATOMIC_RELEASE);
  return Status();
}

}  // namespace usetl
