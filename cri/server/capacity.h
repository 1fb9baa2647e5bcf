// capacity.h: whether the node can hold another function, as far as can be told before it starts.
#ifndef USETL_CRI_SERVER_CAPACITY_H_
#define USETL_CRI_SERVER_CAPACITY_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cri/metrics/pool_state.h"
#include "cri/store/store.h"

namespace usetl::cri {

// Why `pool` cannot take another function once `waiting` others have started; OK when it can.
// Those are taken to hold what running ones do on average: what they will hold nobody knows.
Status CheckRoom(const PoolState& pool, uint64_t waiting);

// Thread-safe. usetl-vmmd decides when a function starts; this says so before. It goes by what
// usetl-vmmd said last and by what was created since: kubelet's calls of Status bring news, else it
// asks, when that is old or the node seems to be full.
class Capacity {
 public:
  struct Leave {
    void operator()(Capacity* capacity) const { capacity->OnLeft(); }
  };
  // Of a container until it is in the store.
  using Place = std::unique_ptr<Capacity, Leave>;

  // `store` must outlive this.
  Capacity(const Store* store, std::string vmmd) : store_(*store), vmmd_(std::move(vmmd)) {}

  void Learn(const PoolState& pool);
  // ENOMEM: the node is full; what of it, and what to do. No answer of usetl-vmmd is no refusal.
  Status Check();
  Result<Place> Take();

 private:
  using Clock = std::chrono::steady_clock;
  Status CheckLocked();
  void LearnLocked(std::optional<PoolState> pool);
  void OnLeft();

  const Store& store_;
  const std::string vmmd_;
  std::mutex mutex_;
  std::optional<PoolState> pool_;  // none: it did not answer
  Clock::time_point learnt_;
  uint64_t waiting_ = 0;   // containers that have not started: then, and since
  uint64_t creating_ = 0;  // of these, those that are not in the store yet
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_CAPACITY_H_
