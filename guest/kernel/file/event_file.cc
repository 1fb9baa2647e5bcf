#include "guest/kernel/file/event_file.h"

#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

class EventFile final : public File {
 public:
  EventFile(uint64_t count, bool semaphore) : count_(count), semaphore_(semaphore) {}

  int64_t Read(void* user, uint64_t size) override {
    if (size < sizeof(uint64_t)) return -EINVAL;
    while (count_ == 0) {
      if (status_flags & kNonBlock) return -EAGAIN;
      Waiter waiter(g_current);
      queue_.Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal) return kRestart;
    }
    const uint64_t value = semaphore_ ? 1 : count_;
    if (!PutUser(static_cast<uint64_t*>(user), value)) return -EFAULT;
    count_ -= value;
    queue_.Wake();
    return sizeof(uint64_t);
  }

  int64_t Write(const void* user, uint64_t size) override {
    uint64_t value;
    if (size < sizeof value) return -EINVAL;
    if (!GetUser(&value, static_cast<const uint64_t*>(user))) return -EFAULT;
    if (value == ~0ull) return -EINVAL;
    while (count_ + value < count_ || count_ + value == ~0ull) {
      if (status_flags & kNonBlock) return -EAGAIN;
      Waiter waiter(g_current);
      queue_.Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal) return kRestart;
    }
    count_ += value;
    queue_.Wake();
    return sizeof value;
  }

  uint32_t Poll() override {
    return (count_ != 0 ? kPollIn : 0) | (count_ < ~0ull - 1 ? kPollOut : 0);
  }
  WaitQueue* wait_queue() override { return &queue_; }

 private:
  uint64_t count_;
  bool semaphore_;
  WaitQueue queue_;
};

}  // namespace

File* CreateEventFile(uint64_t count, bool semaphore, uint32_t status_flags) {
  File* file = New<EventFile>(count, semaphore);
  if (file != nullptr) file->status_flags = status_flags | kReadWriteMode;
  return file;
}

}  // namespace usetl::kernel
