#include "vmm/pool/pool.h"

#include <algorithm>
#include <cstring>

namespace usetl {
namespace {

bool WaitsForTenant(const UsfHandle& usf) {
  return !usf.tenant.empty() && usf.state == UsfState::kIdle;
}

}  // namespace

void RollbackTimes::Add(uint64_t nanoseconds) {
  ++counts[std::lower_bound(kBounds.begin(), kBounds.end(), nanoseconds) - kBounds.begin()];
  sum_ns += nanoseconds;
}

Pool::Pool(UsfOptions usf_options, PoolOptions options, Runtime runtime, PoolCounters* counters,
           Reaper* reaper)
    : usf_options_(std::move(usf_options)),
      options_(options),
      runtime_(std::move(runtime)),
      counters_(counters),
      reaper_(reaper) {}

Pool::~Pool() {
  for (UsfHandle& usf : usfs_) reaper_->Take(usf.Kill());
}

uint32_t Pool::FreshOrStarting() const {
  return static_cast<uint32_t>(std::count_if(usfs_.begin(), usfs_.end(), [](const UsfHandle& usf) {
    return usf.tenant.empty() && (usf.state == UsfState::kIdle || usf.state == UsfState::kStarting);
  }));
}

bool Pool::HasIdleOfTenant() const { return std::ranges::any_of(usfs_, WaitsForTenant); }

bool Pool::RemoveIdleOfTenant() {
  const auto it = std::ranges::find_if(usfs_, WaitsForTenant);
  if (it == usfs_.end()) return false;
  Remove(&*it);
  return true;
}

void Pool::RemoveIdle() {
  for (auto it = usfs_.begin(); it != usfs_.end();) {
    UsfHandle& usf = *it++;
    if (usf.state == UsfState::kIdle) Remove(&usf);
  }
}

Status Pool::Refill(uint32_t number) {
  Result<UsfHandle> usf = UsfHandle::Launch(usf_options_, runtime_, number);
  if (!usf.ok()) return usf.status();
  usfs_.push_back(std::move(*usf));
  usfs_.back().pool = this;
  usfs_.back().RunBehind(true);
  ++counters_->made;
  watch(usfs_.back().socket());
  return Status();
}

void Pool::Hurry() {
  for (UsfHandle& usf : usfs_) {
    if (usf.state == UsfState::kStarting) usf.RunBehind(false);
  }
}

UsfHandle* Pool::Claim(const std::string& tenant) {
  UsfHandle* fresh = nullptr;
  for (UsfHandle& usf : usfs_) {
    if (usf.state != UsfState::kIdle) continue;
    if (usf.tenant == tenant) {
      fresh = &usf;
      break;
    }
    if (usf.tenant.empty() && fresh == nullptr) fresh = &usf;
  }
  if (fresh == nullptr) return nullptr;
  fresh->tenant = tenant;
  fresh->state = UsfState::kClaimed;
  ++fresh->uses;
  return fresh;
}

UsfHandle* Pool::ClaimForClone(const std::string& tenant) {
  constexpr std::chrono::seconds kCloneLimit{5};  // milliseconds, unless the host is out of breath
  UsfHandle* usf = Claim(tenant);
  if (usf == nullptr) return nullptr;
  usf->state = UsfState::kCloning;
  usf->usable = false;
  usf->due = std::chrono::steady_clock::now() + kCloneLimit;
  return usf;
}

bool Pool::Release(UsfHandle* usf) {
  const auto kept = std::count_if(usfs_.begin(), usfs_.end(), [&](const UsfHandle& other) {
    return other.state == UsfState::kIdle && other.tenant == usf->tenant;
  });
  const bool again = usf->usable && usf->uses < options_.max_uses &&
                     static_cast<uint32_t>(kept) < options_.keep_per_tenant;
  if (again && usf->BeginRollback().ok()) return true;
  Remove(usf);
  return false;
}

void PoolCounters::AddMissing(std::string_view text) {
  usf::MissingCalls calls;
  for (; text.size() >= sizeof calls; text.remove_prefix(sizeof calls)) {
    std::memcpy(&calls, text.data(), sizeof calls);
    if (calls.number < abi::kSyscallCount) missing[calls.number] += calls.times;
  }
}

void Pool::OnEvent(UsfHandle* usf, const usf::EventRecord* event) {
  if (event == nullptr) {
    ++counters_->lost;
    Remove(usf);
    return;
  }
  usf->last = *event;
  switch (event->event) {
    case usf::Event::kReady:
      usf->state = UsfState::kIdle;
      usf->RunBehind(false);
      on_idle();
      break;
    case usf::Event::kRolledBack:
      ++counters_->rolled_back;
      counters_->rollback_times.Add(event->nanoseconds);
      usf->state = UsfState::kIdle;
      if (!event->usable) {
        Remove(usf);
      } else {
        on_idle();
      }
      break;
    case usf::Event::kEnded:
      usf->usable = usf->usable && event->usable != 0;
      break;
    case usf::Event::kBecame:
      usf->state = UsfState::kClaimed;
      break;
    case usf::Event::kCopied:
    case usf::Event::kMoved:
      break;
    case usf::Event::kFailed:
      Remove(usf);
      break;
    case usf::Event::kLog:
    case usf::Event::kMissing:
      break;
  }
}

UsfHandle* Pool::FindStuck(std::chrono::steady_clock::time_point now) {
  for (UsfHandle& usf : usfs_) {
    const bool moving = usf.state == UsfState::kStarting || usf.state == UsfState::kRolling ||
                        usf.state == UsfState::kCloning;
    if (moving && now > usf.due) return &usf;
  }
  return nullptr;
}

UsfHandle* Pool::FindBySocket(int fd) {
  for (UsfHandle& usf : usfs_) {
    if (usf.socket() == fd) return &usf;
  }
  return nullptr;
}

void Pool::Remove(UsfHandle* usf) {
  ++counters_->retired;
  unwatch(usf->socket());
  KilledProcess killed = usf->Kill();
  // First: its descriptors are closed, so there is one to watch its process by.
  usfs_.remove_if([usf](const UsfHandle& other) { return &other == usf; });
  reaper_->Take(std::move(killed));
}

uint32_t Pool::Count(UsfState state) const {
  return static_cast<uint32_t>(std::count_if(
      usfs_.begin(), usfs_.end(), [state](const UsfHandle& usf) { return usf.state == state; }));
}

}  // namespace usetl
