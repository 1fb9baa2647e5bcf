// pool.h: the USFs of one runtime: made ahead, claimed, rolled back, replaced.
//
// Single-threaded: everything happens in the daemon's event loop. A USF that served a tenant serves
// the same one again after its rollback and nobody else.
#ifndef USETL_VMM_POOL_POOL_H_
#define USETL_VMM_POOL_POOL_H_

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "vmm/pool/protocol.h"
#include "vmm/pool/usf_handle.h"

namespace usetl {

struct PoolOptions {
  uint32_t size = 2;                // idle USFs without a tenant that are kept ready
  uint32_t most = pool::kMostUsfs;  // USFs of the node in all
  uint32_t max_uses = 10'000;       // of one USF
  uint32_t keep_per_tenant = 4;     // idle ones that wait for their tenant
};

// How long rollbacks took.
struct RollbackTimes {
  // Upper ends of the buckets in nanoseconds; one more bucket takes the rest.
  static constexpr std::array<uint64_t, 11> kBounds = {
      50'000,    100'000,   150'000,    250'000,    500'000,    1'000'000,
      2'500'000, 5'000'000, 10'000'000, 50'000'000, 250'000'000};

  std::array<uint64_t, kBounds.size() + 1> counts{};
  uint64_t sum_ns = 0;

  void Add(uint64_t nanoseconds);
};

// Of all pools of a node since it came up.
struct PoolCounters {
  uint64_t made = 0, rolled_back = 0, retired = 0, lost = 0, stuck = 0;
  RollbackTimes rollback_times;
  std::map<uint32_t, uint64_t> missing;  // system calls that were answered ENOSYS, by number

  // The text of usf::Event::kMissing, which whatever runs in a USF may have made up.
  void AddMissing(std::string_view text);
};

class Pool {
 public:
  // `counters` and `reaper`, which gets the processes that are killed, must outlive this.
  Pool(UsfOptions usf_options, PoolOptions options, Runtime runtime, PoolCounters* counters,
       Reaper* reaper);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Starts one USF, which has this number on its node.
  Status Refill(uint32_t number);
  // Somebody waits: those that are being made no longer run behind the others.
  void Hurry();
  bool wants_refill() const { return FreshOrStarting() < options_.size; }
  // How many are kept ready from now on; more than those stay until RemoveIdle().
  void set_wanted(uint32_t size) { options_.size = size; }

  // An idle USF for the tenant, marked claimed; null when none is ready.
  UsfHandle* Claim(const std::string& tenant);
  // One that becomes the clone of another of the tenant's, marked cloning; null when none is ready.
  UsfHandle* ClaimForClone(const std::string& tenant);
  // The holder is done with it. True: it is being rolled back; false: it was thrown away.
  bool Release(UsfHandle* usf);
  // One that has not become ready, or idle after its rollback, in time; null when there is none.
  UsfHandle* FindStuck(std::chrono::steady_clock::time_point now);
  // What a usf process said, or that it is gone. `event` is null then.
  void OnEvent(UsfHandle* usf, const usf::EventRecord* event);

  UsfHandle* FindBySocket(int fd);
  // Kills it, and does not wait for its end.
  void Remove(UsfHandle* usf);
  // Whether one waits for its tenant to come back; the oldest makes room for others.
  bool HasIdleOfTenant() const;
  bool RemoveIdleOfTenant();
  void RemoveIdle();

  uint32_t Count(UsfState state) const;
  const std::list<UsfHandle>& usfs() const { return usfs_; }
  const std::string& runtime() const { return runtime_.name; }
  uint32_t wanted() const { return options_.size; }

  // Told about the socket of each new USF, and before one is closed.
  std::function<void(int fd)> watch, unwatch;
  // A USF has become idle.
  std::function<void()> on_idle;

  // Bounds of a function's memory: what every USF of the runtime has, and the node's limit.
  uint64_t least_memory() const { return runtime_.snapshot.index().ram_size; }
  uint64_t most_memory() const { return usf_options_.ram_limit; }

  std::string launch_error;  // why it cannot grow; told to those who wait

 private:
  uint32_t FreshOrStarting() const;

  UsfOptions usf_options_;
  PoolOptions options_;
  Runtime runtime_;
  PoolCounters* const counters_;
  Reaper* const reaper_;
  std::list<UsfHandle> usfs_;
};

}  // namespace usetl

#endif  // USETL_VMM_POOL_POOL_H_
