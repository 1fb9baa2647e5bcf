// pool_state.h: what usetl-vmmd says of its pool.
#ifndef USETL_CRI_METRICS_POOL_STATE_H_
#define USETL_CRI_METRICS_POOL_STATE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

struct PoolState {
  std::string runtime;
  uint64_t wanted = 0;  // idle USFs that are kept ready
  // USFs now, by what they do.
  uint64_t starting = 0, idle = 0, claimed = 0, rolling = 0, cloning = 0;
  uint64_t ending = 0;  // killed, but there still
  // What it can hold: USFs in all; bytes of host regions, of one and of all, and what they hold.
  uint64_t most = 0;
  uint64_t region_size = 0, regions = 0, regions_held = 0;
  // Since usetl-vmmd began.
  uint64_t made = 0, rolled_back = 0, retired = 0, lost = 0, stuck = 0;
  uint64_t claims_hit = 0, claims_waited = 0, claims_failed = 0;
  struct {
    std::vector<uint64_t> bounds_ns;
    std::vector<uint64_t> counts;  // one more than bounds
    uint64_t sum_ns = 0;
  } rollbacks;
};

// EPROTO when a number is missing or none.
Result<PoolState> ParsePoolState(std::string_view text);
// Asks; EAGAIN or ETIMEDOUT when there is no answer for so long.
Result<PoolState> ReadPoolState(const std::string& vmmd_socket,
                                std::chrono::milliseconds limit = std::chrono::seconds(1));

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_POOL_STATE_H_
