// counters.h: what the gateway has seen, for metrics.
#ifndef USETL_VMM_PROXY_GATEWAY_COUNTERS_H_
#define USETL_VMM_PROXY_GATEWAY_COUNTERS_H_

#include <array>
#include <cstdint>

namespace usetl::gateway {

struct Counters {
  // Upper ends of the histogram's buckets in microseconds; one more bucket takes the rest.
  static constexpr std::array<uint64_t, 14> kBounds = {
      500,     1'000,   2'500,   5'000,     10'000,    25'000,    50'000,
      100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

  uint64_t connections = 0;          // accepted, ever
  uint64_t connections_refused = 0;  // beyond the limit
  uint64_t open = 0;                 // connections now
  uint64_t requests = 0;             // handed to the backend
  uint64_t in_flight = 0;            // of those, not answered yet
  uint64_t cancelled = 0;            // the client left before the answer was complete
  uint64_t malformed = 0;            // refused before the backend saw them
  uint64_t buffered = 0;             // bodies and unsent answers held now, in bytes
  uint64_t bytes_in = 0, bytes_out = 0;
  std::array<uint64_t, 6> status_class{};  // [2] is 2xx; [0]: broken off
  std::array<uint64_t, kBounds.size() + 1> durations{};
  uint64_t duration_us = 0;  // sum, from the complete request to the end of its answer

  void Finished(int status, uint64_t microseconds) {
    --in_flight;
    ++status_class[status / 100 < 6 ? status / 100 : 0];
    size_t bucket = 0;
    while (bucket < kBounds.size() && microseconds > kBounds[bucket]) ++bucket;
    ++durations[bucket];
    duration_us += microseconds;
  }
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_COUNTERS_H_
