// events.h: container events for GetContainerEvents: to whoever listens now; no history.
#ifndef USETL_CRI_SERVER_EVENTS_H_
#define USETL_CRI_SERVER_EVENTS_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "runtime.pb.h"

namespace usetl::cri {

// Thread-safe.
class Events {
 public:
  using Event = std::shared_ptr<const runtime::v1::ContainerEventResponse>;

  // What one listener has not taken yet. It goes when the listener does.
  class Listener {
   public:
    explicit Listener(Events* events) : events_(events) { events_->Add(this); }
    ~Listener() { events_->Remove(this); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    // The next event, or none when `wait` has passed. False in `*alive`: it was too slow, events
    // were lost, the stream has to end.
    std::optional<Event> Next(std::chrono::milliseconds wait, bool* alive);

   private:
    friend class Events;
    Events* const events_;
    std::deque<Event> queue_;
    bool overflown_ = false;
  };

  void Publish(runtime::v1::ContainerEventResponse event);
  // Whether an event needs to be made at all.
  bool HasListeners() const;

 private:
  static constexpr size_t kMaxQueue = 1000;

  void Add(Listener* listener);
  void Remove(Listener* listener);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Listener*> listeners_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_EVENTS_H_
