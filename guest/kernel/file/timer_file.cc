#include "guest/kernel/file/timer_file.h"

#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/timer.h"

namespace usetl::kernel {
namespace {

class TimerFile;
TimerFile* g_timer_files = nullptr;  // lets AsTimer recognise its own

class TimerFile final : public File {
 public:
  explicit TimerFile(bool on_realtime) : realtime(on_realtime), next(g_timer_files) {
    timer_.owner = this;
    timer_.fire = [](Timer* timer, uint64_t times) {
      TimerFile* self = static_cast<OwnedTimer*>(timer)->owner;
      self->expirations_ += times;
      self->queue_.Wake();
    };
    g_timer_files = this;
  }
  ~TimerFile() override {
    DisarmTimer(&timer_);
    TimerFile** link = &g_timer_files;
    while (*link != this) link = &(*link)->next;
    *link = next;
  }

  int64_t Read(void* user, uint64_t size) override {
    if (size < sizeof(uint64_t)) return -EINVAL;
    ExpireTimers(Monotonic());
    while (expirations_ == 0) {
      if (status_flags & kNonBlock) return -EAGAIN;
      Waiter waiter(g_current);
      queue_.Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal) return kRestart;
    }
    if (!PutUser(static_cast<uint64_t*>(user), expirations_)) return -EFAULT;
    expirations_ = 0;
    return sizeof(uint64_t);
  }
  uint32_t Poll() override {
    ExpireTimers(Monotonic());
    return expirations_ != 0 ? kPollIn : 0;
  }
  WaitQueue* wait_queue() override { return &queue_; }

  void Set(bool absolute, uint64_t value, uint64_t interval) {
    expirations_ = 0;
    if (value == 0) {
      DisarmTimer(&timer_);
      return;
    }
    const uint64_t now = Monotonic();
    uint64_t deadline = After(now, value);
    if (absolute) {
      const uint64_t clock_now = realtime ? Realtime() : now;
      deadline = value > clock_now ? After(now, value - clock_now) : now;
    }
    ArmTimer(&timer_, deadline, interval);
  }
  TimerSpec Get() const {
    if (!timer_.listed) return {};
    const uint64_t now = Monotonic();
    const uint64_t left = timer_.deadline > now ? timer_.deadline - now : 1;
    return {ToTimeSpec(timer_.interval), ToTimeSpec(left)};
  }

  const bool realtime;
  TimerFile* next;

 private:
  struct OwnedTimer : Timer {
    TimerFile* owner;
  };
  OwnedTimer timer_{};
  uint64_t expirations_ = 0;
  WaitQueue queue_;
};

TimerFile* AsTimer(File* file) {
  for (TimerFile* timer = g_timer_files; timer != nullptr; timer = timer->next) {
    if (timer == file) return timer;
  }
  return nullptr;
}

}  // namespace

File* CreateTimerFile(bool realtime, uint32_t status_flags) {
  File* file = New<TimerFile>(realtime);
  if (file != nullptr) file->status_flags = status_flags;
  return file;
}

int64_t SetTimerFile(File* file, bool absolute, const TimerSpec& spec, TimerSpec* old) {
  TimerFile* timer = AsTimer(file);
  const int64_t value = ToNanoseconds(spec.value);
  const int64_t interval = ToNanoseconds(spec.interval);
  if (timer == nullptr || value < 0 || interval < 0) return -EINVAL;
  if (old != nullptr) *old = timer->Get();
  timer->Set(absolute, value, interval);
  return 0;
}

int64_t GetTimerFile(File* file, TimerSpec* spec) {
  TimerFile* timer = AsTimer(file);
  if (timer == nullptr) return -EINVAL;
  *spec = timer->Get();
  return 0;
}

}  // namespace usetl::kernel
