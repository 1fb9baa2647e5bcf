// inspect.cc: the state of a node as JSON.
#include <seccomp.h>

#include <algorithm>
#include <cstdlib>

#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

template <typename Numbers>
std::string Array(const Numbers& numbers) {
  std::string text;
  for (const uint64_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return "[" + text + "]";
}

std::string NameOf(uint32_t call) {
  char* const name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(call));
  const std::string text = name != nullptr ? name : std::to_string(call);
  std::free(name);
  return text;
}

}  // namespace

std::string Vmmd::Inspect(uint32_t from) const {
  std::string json = "{\"runtime\":\"" + pool_->runtime() + "\"";
  const auto number = [&](const char* key, uint64_t value) {
    json += std::string(",\"") + key + "\":" + std::to_string(value);
  };
  number("made", counters_.made);
  number("rolled_back", counters_.rolled_back);
  number("retired", counters_.retired);
  number("lost", counters_.lost);
  number("stuck", counters_.stuck);
  number("starting", Count(UsfState::kStarting));
  number("idle", Count(UsfState::kIdle));
  number("claimed", Count(UsfState::kClaimed));
  number("rolling", Count(UsfState::kRolling));
  number("cloning", Count(UsfState::kCloning));
  number("ending", reaper_->size());
  number("wanted", pool_->wanted());
  number("most", options_.pool.most);
  number("region_size", options_.usf.host_region_size);
  number("regions", options_.regions);
  number("regions_held", RegionsHeld());
  number("image_pools", image_pools_.size());
  number("claims_hit", claims_hit_);
  number("claims_waited", claims_waited_);
  number("claims_failed", claims_failed_);
  const RollbackTimes& rollbacks = counters_.rollback_times;
  json += ",\"rollbacks\":{\"bounds_ns\":" + Array(RollbackTimes::kBounds) +
          ",\"counts\":" + Array(rollbacks.counts);
  number("sum_ns", rollbacks.sum_ns);
  json += "}";
  json += ",\"unimplemented\":{";
  for (const auto& [call, times] : counters_.missing) {
    json += (json.back() == '{' ? "\"" : ",\"") + NameOf(call) + "\":" + std::to_string(times);
  }
  json += "}";
  if (from == pool::kNoUsfs) return json + "}";
  std::vector<const UsfHandle*> usfs;
  for (const Pool* pool : Pools()) {
    for (const UsfHandle& usf : pool->usfs()) {
      if (usf.number() >= from) usfs.push_back(&usf);
    }
  }
  std::ranges::sort(usfs, {}, [](const UsfHandle* usf) { return usf->number(); });
  json += ",\"usfs\":[";
  bool first = true;
  const auto describe = [&](const UsfHandle& usf) {
    json += first ? "{" : ",{";
    first = false;
    json += "\"usf\":" + std::to_string(usf.number());
    json += ",\"runtime\":\"" + usf.pool->runtime() + "\"";
    number("pid", usf.pid());
    json += std::string(",\"state\":\"") + Name(usf.state) + "\"";
    number("uses", usf.uses);
    number("exits", usf.last.exits);
    number("mapping_calls", usf.last.mapping_calls);
    number("rollback_ns", usf.last.nanoseconds);
    number("hot_pages", usf.last.hot_pages);
    number("cold_pages", usf.last.cold_pages);
    number("cpu_ns", usf.last.cpu_ns);
    json += "}";
  };
  // One message holds a few hundred.
  constexpr size_t kMost = 60'000;
  for (const UsfHandle* usf : usfs) {
    if (json.size() > kMost) {
      json += "]";
      number("next", usf->number());
      return json + "}";
    }
    describe(*usf);
  }
  return json + "]}";
}

}  // namespace usetl
