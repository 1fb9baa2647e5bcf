// capacity.h: whether the node can hold another function, as far as can be told before it starts.
#ifndef USETL_CRI_SERVER_CAPACITY_H_
#define USETL_CRI_SERVER_CAPACITY_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
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
    std::string container;
    void operator()(Capacity* capacity) const { capacity->OnLeft(container); }
  };
  // Of a container until it is in the store.
  using Place = std::unique_ptr<Capacity, Leave>;

  static constexpr std::chrono::milliseconds kPatience{200};
  // `store` must outlive this. `patience`: for an answer of usetl-vmmd.
  Capacity(const Store* store, std::string vmmd, std::chrono::milliseconds patience = kPatience)
      : store_(*store), vmmd_(std::move(vmmd)), patience_(patience) {}

  void Learn(const PoolState& pool);
  // ENOMEM: the node is full; what of it, and what to do. No answer of usetl-vmmd is no refusal.
  Status Check();
  Result<Place> Take(const std::string& container);

 private:
  using Clock = std::chrono::steady_clock;
  // Lets go of the lock while it asks.
  Status Check(std::unique_lock<std::mutex>* lock);
  void LearnLocked(std::optional<PoolState> pool);
  void OnLeft(const std::string& container);

  const Store& store_;
  const std::string vmmd_;
  const std::chrono::milliseconds patience_;
  std::mutex asking_;  // one question at a time; taken before the other
  std::mutex mutex_;
  std::optional<PoolState> pool_;  // none: it did not answer
  Clock::time_point learnt_;
  uint64_t waiting_ = 0;  // containers that have not started: then, and since
  // Of these, those that may not be in the store yet.
  std::set<std::string> creating_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_CAPACITY_H_
