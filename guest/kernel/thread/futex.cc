#include "guest/kernel/thread/futex.h"

#include <asm/errno.h>

#include "guest/kernel/memory/user.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

constexpr uint32_t kBuckets = 64;
WaitQueue g_buckets[kBuckets];

WaitQueue& BucketOf(const uint32_t* address) {
  const auto key = reinterpret_cast<uint64_t>(address);
  return g_buckets[(key >> 2 ^ key >> 12) % kBuckets];
}

}  // namespace

int64_t FutexWait(uint32_t* address, uint32_t expected, uint64_t deadline, uint32_t bits) {
  if (bits == 0 || reinterpret_cast<uint64_t>(address) % 4 != 0) return -EINVAL;
  uint32_t value;
  if (!GetUser(&value, address)) return -EFAULT;
  if (value != expected) return -EAGAIN;
  Waiter waiter(g_current);
  waiter.key = reinterpret_cast<uint64_t>(address);
  waiter.bits = bits;
  BucketOf(address).Add(&waiter);
  const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
  if (waiter.woken) return 0;
  return reason == WakeReason::kTimeout ? -ETIMEDOUT : -EINTR;
}

int64_t FutexWake(uint32_t* address, uint32_t count, uint32_t bits) {
  if (bits == 0 || reinterpret_cast<uint64_t>(address) % 4 != 0) return -EINVAL;
  WaitQueue& bucket = BucketOf(address);
  uint32_t woken = 0;
  for (Waiter* waiter = bucket.first(); waiter != nullptr && woken < count;) {
    Waiter* next = waiter->next;
    if (waiter->key == reinterpret_cast<uint64_t>(address) && (waiter->bits & bits)) {
      bucket.Remove(waiter);
      waiter->woken = true;
      WakeThread(waiter->thread, WakeReason::kWoken);
      ++woken;
    }
    waiter = next;
  }
  return woken;
}

void ForgetFutexes() {
  for (WaitQueue& bucket : g_buckets) bucket.Forget();
}

int64_t FutexRequeue(uint32_t* address, uint32_t wake, uint32_t* target, uint32_t move) {
  const int64_t woken = FutexWake(address, wake, ~0u);
  if (woken < 0) return woken;
  WaitQueue& from = BucketOf(address);
  WaitQueue& to = BucketOf(target);
  uint32_t moved = 0;
  for (Waiter* waiter = from.first(); waiter != nullptr && moved < move;) {
    Waiter* next = waiter->next;
    if (waiter->key == reinterpret_cast<uint64_t>(address)) {
      from.Remove(waiter);
      waiter->key = reinterpret_cast<uint64_t>(target);
      to.Add(waiter);
      ++moved;
      if (&from == &to && next == nullptr) break;  // it was put behind itself
    }
    waiter = next;
  }
  return woken + moved;
}

}  // namespace usetl::kernel
