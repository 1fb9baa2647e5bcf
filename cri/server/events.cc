#include "cri/server/events.h"

namespace usetl::cri {

void Events::Add(Listener* listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(listener);
}

void Events::Remove(Listener* listener) {
  const std::lock_guard lock(mutex_);
  listeners_.remove(listener);
}

bool Events::HasListeners() const {
  const std::lock_guard lock(mutex_);
  return !listeners_.empty();
}

void Events::Publish(runtime::v1::ContainerEventResponse event) {
  const auto shared = std::make_shared<const runtime::v1::ContainerEventResponse>(std::move(event));
  {
    const std::lock_guard lock(mutex_);
    for (Listener* listener : listeners_) {
      if (listener->queue_.size() < kMaxQueue) {
        listener->queue_.push_back(shared);
      } else {
        listener->overflown_ = true;
      }
    }
  }
  changed_.notify_all();
}

std::optional<Events::Event> Events::Listener::Next(std::chrono::milliseconds wait, bool* alive) {
  std::unique_lock lock(events_->mutex_);
  events_->changed_.wait_for(lock, wait, [this] { return !queue_.empty() || overflown_; });
  *alive = !overflown_;
  if (queue_.empty() || overflown_) return std::nullopt;
  Event event = std::move(queue_.front());
  queue_.pop_front();
  return event;
}

}  // namespace usetl::cri
