#include "guest/kernel/file/epoll.h"

#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

constexpr uint32_t kAlways = kPollErr | kPollHup;

class EpollFile;

// One watched descriptor. The waiter's notification marks it ready.
struct Watch {
  Watch(EpollFile* owner, int watched_fd, File* watched)
      : waiter(nullptr), epoll(owner), fd(watched_fd), file(watched) {}
  Waiter waiter;
  EpollFile* epoll;
  int fd;
  File* file;  // no reference: like Linux, closing the file ends the watch
  EpollEvent event{};
  bool disabled = false;   // one-shot has fired
  bool armed_edge = true;  // edge: something happened since the last report
  Watch* next = nullptr;
};

class EpollFile final : public File {
 public:
  ~EpollFile() override {
    while (watches_ != nullptr) Drop(&watches_);
  }

  int64_t Control(int operation, int fd, const EpollEvent& event) {
    constexpr int kAdd = 1, kDelete = 2, kModify = 3;
    File* file = GetFile(fd);
    if (file == nullptr) return -EBADF;
    if (file == this) return -EINVAL;
    DropStale();  // the file may be a new one where an old one was
    Watch** link = &watches_;
    while (*link != nullptr && !((*link)->fd == fd && (*link)->file == file)) {
      link = &(*link)->next;
    }
    switch (operation) {
      case kAdd: {
        if (*link != nullptr) return -EEXIST;
        if (file->wait_queue() == nullptr) return -EPERM;  // regular files, as on Linux
        Watch* watch = New<Watch>(this, fd, file);
        if (watch == nullptr) return -ENOMEM;
        watch->event = event;
        watch->waiter.notify = [](Waiter* waiter) {
          auto* self = reinterpret_cast<Watch*>(waiter);
          static_assert(offsetof(Watch, waiter) == 0);
          self->armed_edge = true;
          self->epoll->queue_.Wake();
        };
        file->wait_queue()->Add(&watch->waiter);
        watch->next = watches_;
        watches_ = watch;
        queue_.Wake();
        return 0;
      }
      case kDelete:
        if (*link == nullptr) return -ENOENT;
        Drop(link);
        return 0;
      case kModify:
        if (*link == nullptr) return -ENOENT;
        (*link)->event = event;
        (*link)->disabled = false;
        (*link)->armed_edge = true;
        queue_.Wake();
        return 0;
      default:
        return -EINVAL;
    }
  }

  // Reports up to `most` ready watches, round robin, and applies edge and one-shot rules.
  int Collect(EpollEvent* events, int most) {
    int count = 0;
    Watch* last = nullptr;
    for (Watch** link = &watches_; *link != nullptr;) {
      Watch* watch = *link;
      if (watch->waiter.queue == nullptr) {  // its file is gone
        *link = watch->next;
        Delete(watch);
        continue;
      }
      const uint32_t ready = Ready(*watch);
      if (ready != 0 && count < most) {
        events[count].events = ready;
        events[count].data = watch->event.data;
        ++count;
        if (watch->event.events & kEpollEdge) watch->armed_edge = false;
        if (watch->event.events & kEpollOneShot) watch->disabled = true;
        last = watch;
      }
      link = &watch->next;
    }
    if (count == most && last != nullptr) Rotate(last);
    return count;
  }

  uint32_t Poll() override {
    for (Watch* watch = watches_; watch != nullptr; watch = watch->next) {
      if (watch->waiter.queue != nullptr && Ready(*watch) != 0) return kPollIn;
    }
    return 0;
  }
  WaitQueue* wait_queue() override { return &queue_; }

 private:
  static uint32_t Ready(const Watch& watch) {
    if (watch.disabled) return 0;
    if ((watch.event.events & kEpollEdge) && !watch.armed_edge) return 0;
    return watch.file->Poll() & (watch.event.events | kAlways);
  }
  // What was reported last goes to the end, so that nobody starves.
  void Rotate(Watch* last) {
    Watch* rest = last->next;
    if (rest == nullptr) return;
    Watch* tail = rest;
    while (tail->next != nullptr) tail = tail->next;
    tail->next = watches_;
    last->next = nullptr;
    watches_ = rest;
  }
  // Those whose files are gone.
  void DropStale() {
    for (Watch** link = &watches_; *link != nullptr;) {
      if ((*link)->waiter.queue == nullptr) {
        Drop(link);
      } else {
        link = &(*link)->next;
      }
    }
  }
  static void Drop(Watch** link) {
    Watch* watch = *link;
    *link = watch->next;
    Delete(watch);
  }

  Watch* watches_ = nullptr;
  WaitQueue queue_;
};

EpollFile* AsEpoll(File* file) {
  // Recognised by a behaviour that no other file has: the virtual table.
  static const EpollFile model;
  return file != nullptr &&
                 *reinterpret_cast<void**>(file) == *reinterpret_cast<void* const*>(&model)
             ? static_cast<EpollFile*>(file)
             : nullptr;
}

}  // namespace

File* CreateEpoll() { return New<EpollFile>(); }

int64_t ControlEpoll(File* file, int operation, int fd, const EpollEvent& event) {
  EpollFile* epoll = AsEpoll(file);
  return epoll == nullptr ? -EINVAL : epoll->Control(operation, fd, event);
}

int64_t WaitEpoll(File* file, EpollEvent* user_events, int most, uint64_t deadline) {
  EpollFile* epoll = AsEpoll(file);
  if (epoll == nullptr || most <= 0) return -EINVAL;
  constexpr int kMost = 256;
  EpollEvent events[kMost];
  if (most > kMost) most = kMost;
  for (;;) {
    PollMailbox();
    const int count = epoll->Collect(events, most);
    if (count != 0) {
      if (!CopyToUser(user_events, events, count * sizeof events[0])) return -EFAULT;
      return count;
    }
    if (Monotonic() >= deadline) return 0;
    Waiter waiter(g_current);
    epoll->wait_queue()->Add(&waiter);
    if (Sleep(deadline, /*interruptible=*/true) == WakeReason::kSignal) return -EINTR;
  }
}

int64_t PollFiles(PollFd* fds, uint32_t count, uint64_t deadline) {
  void* memory = count == 0 ? nullptr : Allocate(count * sizeof(Waiter));
  if (count != 0 && memory == nullptr) return -ENOMEM;
  auto* waiters = static_cast<Waiter*>(memory);
  for (uint32_t i = 0; i < count; ++i) new (&waiters[i]) Waiter(g_current);
  int64_t result = 0;
  for (;;) {
    PollMailbox();
    result = 0;
    for (uint32_t i = 0; i < count; ++i) {
      fds[i].revents = 0;
      if (fds[i].fd < 0) continue;
      File* file = GetFile(fds[i].fd);
      const uint32_t wanted = static_cast<uint16_t>(fds[i].events) | kAlways;
      const uint32_t ready = file == nullptr ? kPollInvalid : file->Poll() & wanted;
      fds[i].revents = static_cast<int16_t>(ready);
      if (ready != 0) ++result;
    }
    if (result != 0 || Monotonic() >= deadline) break;
    for (uint32_t i = 0; i < count; ++i) {
      File* file = GetFile(fds[i].fd);
      waiters[i].woken = false;
      if (file != nullptr && file->wait_queue() != nullptr && waiters[i].queue == nullptr) {
        file->wait_queue()->Add(&waiters[i]);
      }
    }
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    for (uint32_t i = 0; i < count; ++i) {
      if (waiters[i].queue != nullptr) waiters[i].queue->Remove(&waiters[i]);
    }
    if (reason == WakeReason::kSignal) {
      result = -EINTR;
      break;
    }
  }
  for (uint32_t i = 0; i < count; ++i) waiters[i].~Waiter();
  Free(memory);
  return result;
}

}  // namespace usetl::kernel
