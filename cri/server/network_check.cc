#include "cri/server/network_check.h"

#include <spdlog/spdlog.h>

namespace usetl::cri {

NetworkCheck::~NetworkCheck() {
  {
    const std::lock_guard lock(mutex_);
    waiting_.clear();
    cancelled_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void NetworkCheck::Begin(std::deque<std::shared_ptr<const SandboxRecord>> pods) {
  std::erase_if(pods, [](const auto& pod) {
    return pod->state() != runtime::v1::SANDBOX_READY || pod->network_result().empty();
  });
  if (pods.empty()) return;
  waiting_ = std::move(pods);
  thread_ = std::thread([this] { Run(); });
}

void NetworkCheck::Run() {
  std::unique_lock lock(mutex_);
  while (!waiting_.empty()) {
    const std::shared_ptr<const SandboxRecord> pod = std::move(waiting_.front());
    waiting_.pop_front();
    checking_ = pod->id();
    cancelled_ = false;
    lock.unlock();
    const Result<bool> checked = cni_.Check(*pod, [this] {
      const std::lock_guard look(mutex_);
      return cancelled_;
    });
    lock.lock();
    checking_.clear();
    if (!cancelled_ && !checked.ok()) {
      const std::string& what = checked.status().message();
      spdlog::warn("pod {}: its network is not as it was made: {}", pod->id(), what);
      found_[pod->id()] = what;
    } else if (!cancelled_ && *checked) {
      found_[pod->id()] = "";
    }
    changed_.notify_all();
  }
}

void NetworkCheck::Leave(const std::string& pod) {
  std::unique_lock lock(mutex_);
  std::erase_if(waiting_, [&](const auto& waiting) { return waiting->id() == pod; });
  if (checking_ == pod) {
    cancelled_ = true;
    changed_.wait(lock, [&] { return checking_ != pod; });
  }
  found_.erase(pod);
}

std::optional<std::string> NetworkCheck::Found(const std::string& pod) const {
  const std::lock_guard lock(mutex_);
  const auto found = found_.find(pod);
  if (found == found_.end()) return std::nullopt;
  return found->second;
}

}  // namespace usetl::cri
