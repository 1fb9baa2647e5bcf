#include "cri/server/capacity.h"

#include <algorithm>

namespace usetl::cri {
namespace {

constexpr std::chrono::seconds kFresh{10};
// Of its region, that a function holds at least.
constexpr uint64_t kLeastPart = 16;

// Rounded up: what holds something does not hold nothing.
std::string Megabytes(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20); }

}  // namespace

Status CheckRoom(const PoolState& pool, uint64_t waiting) {
  const std::string others =
      waiting == 0 ? "" : " (and containers yet to start: " + std::to_string(waiting) + ")";
  const uint64_t in_use = pool.claimed + pool.cloning + pool.ending;
  if (in_use + waiting >= pool.most) {
    return Status(ENOMEM, "usetl: the node is full: " + std::to_string(in_use) + " of " +
                              std::to_string(pool.most) + " USFs are in use" + others +
                              "; end some functions, or use another node");
  }
  const uint64_t average = pool.claimed == 0 ? 0 : pool.regions_held / pool.claimed;
  const uint64_t each =
      std::min(std::max(average, pool.region_size / kLeastPart), pool.region_size);
  if (pool.regions_held + waiting * each + pool.region_size <= pool.regions) return Status();
  return Status(ENOMEM, "usetl: the node is full: running functions hold " +
                            Megabytes(pool.regions_held) + " of " + Megabytes(pool.regions) +
                            " MB of host regions" + others + ", and another one wants " +
                            Megabytes(pool.region_size) +
                            " MB; end some functions, or give usetl-vmmd more --regions");
}

void Capacity::Learn(const PoolState& pool) {
  const std::lock_guard lock(mutex_);
  LearnLocked(pool);
}

Status Capacity::Check() {
  std::unique_lock lock(mutex_);
  return Check(&lock);
}

Result<Capacity::Place> Capacity::Take(const std::string& container) {
  std::unique_lock lock(mutex_);
  USETL_RETURN_IF_ERROR(Check(&lock));
  ++waiting_;
  creating_.insert(container);
  return Place(this, Leave{container});
}

Status Capacity::Check(std::unique_lock<std::mutex>* lock) {
  const bool fresh = learnt_ != Clock::time_point() && Clock::now() - learnt_ < kFresh;
  if (fresh && (!pool_ || CheckRoom(*pool_, waiting_).ok())) return Status();
  const Clock::time_point before = learnt_;
  // Who brings news, or leaves, does not wait for an answer that may never come.
  lock->unlock();
  const std::lock_guard asking(asking_);
  lock->lock();
  if (learnt_ == before) {
    lock->unlock();
    const Result<PoolState> pool = ReadPoolState(vmmd_, patience_);
    lock->lock();
    LearnLocked(pool.ok() ? std::optional(*pool) : std::nullopt);
  }
  return pool_ ? CheckRoom(*pool_, waiting_) : Status();
}

void Capacity::LearnLocked(std::optional<PoolState> pool) {
  pool_ = std::move(pool);
  waiting_ = creating_.size() + store_.CountWaiting(creating_);
  learnt_ = Clock::now();
}

void Capacity::OnLeft(const std::string& container) {
  const std::lock_guard lock(mutex_);
  creating_.erase(container);
}

}  // namespace usetl::cri
