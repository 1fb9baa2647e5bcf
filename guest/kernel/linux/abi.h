// abi.h: constants and structures of the Linux x86-64 system call ABI that have no other home.
//
// Facts of <linux/*.h> and <asm/*.h>; our own declarations because those headers clash with libc's
// in unit tests.
#ifndef USETL_GUEST_KERNEL_LINUX_ABI_H_
#define USETL_GUEST_KERNEL_LINUX_ABI_H_

#include <cstdint>

namespace usetl::kernel {

// poll(2), epoll(7)
inline constexpr uint32_t kPollIn = 0x001, kPollPri = 0x002, kPollOut = 0x004, kPollErr = 0x008;
inline constexpr uint32_t kPollHup = 0x010, kPollInvalid = 0x020, kPollReadHup = 0x2000;
inline constexpr uint32_t kEpollExclusive = 1u << 28, kEpollOneShot = 1u << 30;
inline constexpr uint32_t kEpollEdge = 1u << 31;

struct PollFd {
  int32_t fd;
  int16_t events;
  int16_t revents;
};

struct [[gnu::packed]] EpollEvent {
  uint32_t events;
  uint64_t data;
};
static_assert(sizeof(EpollEvent) == 12);

struct TimeSpec {
  int64_t seconds;
  int64_t nanoseconds;
};
struct TimeVal {
  int64_t seconds;
  int64_t microseconds;
};
struct TimerSpec {
  TimeSpec interval;
  TimeSpec value;
};

struct IoVec {
  void* base;
  uint64_t size;
};

// fcntl(2), open(2)
inline constexpr uint32_t kAccessMode = 3, kNonBlock = 0x800, kCloseOnExec = 0x80000;
inline constexpr uint32_t kAppend = 0x400;
inline constexpr uint32_t kReadOnly = 0, kWriteOnly = 1, kReadWriteMode = 2;

inline constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// A valid timespec in nanoseconds, or -1.
constexpr int64_t ToNanoseconds(const TimeSpec& t) {
  if (t.seconds < 0 || t.nanoseconds < 0 || t.nanoseconds >= 1'000'000'000) return -1;
  constexpr int64_t kMost = 9'000'000'000;
  if (t.seconds > kMost) return kMost * 1'000'000'000;
  return t.seconds * 1'000'000'000 + t.nanoseconds;
}
constexpr TimeSpec ToTimeSpec(uint64_t ns) {
  return {static_cast<int64_t>(ns / kNanosecondsPerSecond),
          static_cast<int64_t>(ns % kNanosecondsPerSecond)};
}

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_LINUX_ABI_H_
