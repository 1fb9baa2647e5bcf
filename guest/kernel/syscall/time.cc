// time.cc: clocks, sleeping, interval timers.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/timer_file.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/timer.h"

namespace usetl::kernel {
namespace {

constexpr int kRealtime = 0, kMonotonic = 1, kProcessCpu = 2, kThreadCpu = 3, kMonotonicRaw = 4;
constexpr int kRealtimeCoarse = 5, kMonotonicCoarse = 6, kBootTime = 7;

uint64_t ProcessCpu() {
  uint64_t sum = 0;
  for (Thread* thread = g_threads; thread != nullptr; thread = thread->next) {
    sum += CpuTime(*thread);
  }
  return sum;
}

// -1: no such clock.
int64_t ReadClock(int clock) {
  switch (clock) {
    case kRealtime:
    case kRealtimeCoarse:
      return static_cast<int64_t>(Realtime());
    case kMonotonic:
    case kMonotonicRaw:
    case kMonotonicCoarse:
    case kBootTime:
      return static_cast<int64_t>(Monotonic());
    case kProcessCpu:
      return static_cast<int64_t>(ProcessCpu());
    case kThreadCpu:
      return static_cast<int64_t>(CpuTime(*g_current));
    default:
      // Dynamic clocks: of the process (…|2) and of a thread (…|6).
      if (clock < 0) return static_cast<int64_t>((clock & 4) ? CpuTime(*g_current) : ProcessCpu());
      return -1;
  }
}

int64_t SleepUntil(uint64_t deadline, TimeSpec* remaining) {
  while (Monotonic() < deadline) {
    if (Sleep(deadline, /*interruptible=*/true) != WakeReason::kSignal) continue;
    if (remaining != nullptr) {
      const uint64_t now = Monotonic();
      if (!PutUser(remaining, ToTimeSpec(deadline > now ? deadline - now : 0))) return -EFAULT;
    }
    return -EINTR;
  }
  return 0;
}

Timer g_alarm{kNever, 0, [](Timer*, uint64_t) { SendSignal(nullptr, {kSigAlrm, 0, 0x80, 0}); }};

struct IntervalTimer {
  TimeVal interval;
  TimeVal value;
};

TimeVal ToTimeVal(uint64_t ns) {
  return {static_cast<int64_t>(ns / kNanosecondsPerSecond),
          static_cast<int64_t>(ns % kNanosecondsPerSecond / 1000)};
}

int64_t FromTimeVal(const TimeVal& t) {
  return ToNanoseconds({t.seconds, t.microseconds < 0 ? -1 : t.microseconds * 1000});
}

IntervalTimer ReadAlarm() {
  if (!g_alarm.listed) return {};
  const uint64_t now = Monotonic();
  return {ToTimeVal(g_alarm.interval),
          ToTimeVal(g_alarm.deadline > now ? g_alarm.deadline - now : 1000)};
}

}  // namespace

extern "C" {

int64_t sys_clock_gettime(int clock, TimeSpec* user) {
  const int64_t now = ReadClock(clock);
  if (now < 0) return -EINVAL;
  return PutUser(user, ToTimeSpec(now)) ? 0 : -EFAULT;
}

int64_t sys_clock_getres(int clock, TimeSpec* user) {
  if (ReadClock(clock) < 0) return -EINVAL;
  return user == nullptr || PutUser(user, TimeSpec{0, 1}) ? 0 : -EFAULT;
}

int64_t sys_gettimeofday(TimeVal* user, uint64_t* zone) {
  const uint64_t none = 0;
  if (user != nullptr && !PutUser(user, ToTimeVal(Realtime()))) return -EFAULT;
  return zone == nullptr || PutUser(zone, none) ? 0 : -EFAULT;
}

int64_t sys_time(int64_t* user) {
  const auto now = static_cast<int64_t>(Realtime() / kNanosecondsPerSecond);
  return user == nullptr || PutUser(user, now) ? now : -EFAULT;
}

int64_t sys_nanosleep(const TimeSpec* user, TimeSpec* remaining) {
  TimeSpec spec;
  if (!GetUser(&spec, user)) return -EFAULT;
  const int64_t ns = ToNanoseconds(spec);
  return ns < 0 ? -EINVAL : SleepUntil(After(Monotonic(), ns), remaining);
}

int64_t sys_clock_nanosleep(int clock, int flags, const TimeSpec* user, TimeSpec* remaining) {
  constexpr int kAbsolute = 1;
  TimeSpec spec;
  if (!GetUser(&spec, user)) return -EFAULT;
  const int64_t ns = ToNanoseconds(spec);
  if (ns < 0 || clock == kThreadCpu || ReadClock(clock) < 0) return -EINVAL;
  const uint64_t now = Monotonic();
  if (!(flags & kAbsolute)) return SleepUntil(After(now, ns), remaining);
  const auto clock_now = static_cast<uint64_t>(ReadClock(clock));
  const auto until = static_cast<uint64_t>(ns);
  return SleepUntil(until > clock_now ? After(now, until - clock_now) : now, nullptr);
}

int64_t sys_times(int64_t* user) {
  constexpr uint64_t kTick = kNanosecondsPerSecond / 100;
  const int64_t times[4] = {static_cast<int64_t>(ProcessCpu() / kTick), 0, 0, 0};
  if (user != nullptr && !CopyToUser(user, times, sizeof times)) return -EFAULT;
  return static_cast<int64_t>(Monotonic() / kTick);
}

int64_t sys_getitimer(int which, IntervalTimer* user) {
  if (which != 0) return -EINVAL;
  return PutUser(user, ReadAlarm()) ? 0 : -EFAULT;
}

int64_t sys_setitimer(int which, const IntervalTimer* user, IntervalTimer* old) {
  if (which != 0) return -EINVAL;
  IntervalTimer timer{};
  if (user != nullptr && !GetUser(&timer, user)) return -EFAULT;
  const int64_t value = FromTimeVal(timer.value), interval = FromTimeVal(timer.interval);
  if (value < 0 || interval < 0) return -EINVAL;
  if (old != nullptr && !PutUser(old, ReadAlarm())) return -EFAULT;
  if (value == 0) {
    DisarmTimer(&g_alarm);
  } else {
    ArmTimer(&g_alarm, After(Monotonic(), value), interval);
  }
  return 0;
}

int64_t sys_alarm(uint32_t seconds) {
  const TimeVal left = ReadAlarm().value;
  if (seconds == 0) {
    DisarmTimer(&g_alarm);
  } else {
    ArmTimer(&g_alarm, After(Monotonic(), seconds * kNanosecondsPerSecond), 0);
  }
  return left.seconds + (left.microseconds != 0 ? 1 : 0);
}

int64_t sys_timerfd_create(int clock, uint32_t flags) {
  if (ReadClock(clock) < 0) return -EINVAL;
  File* file = CreateTimerFile(clock == kRealtime, flags & kNonBlock);
  return file == nullptr ? -ENOMEM : InstallFile(file, flags & kCloseOnExec);
}

int64_t sys_timerfd_settime(int fd, int flags, const TimerSpec* user, TimerSpec* old) {
  TimerSpec spec, before;
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  if (!GetUser(&spec, user)) return -EFAULT;
  const int64_t error = SetTimerFile(file, flags & 1, spec, &before);
  if (error != 0) return error;
  return old == nullptr || PutUser(old, before) ? 0 : -EFAULT;
}

int64_t sys_timerfd_gettime(int fd, TimerSpec* user) {
  TimerSpec spec;
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  const int64_t error = GetTimerFile(file, &spec);
  if (error != 0) return error;
  return PutUser(user, spec) ? 0 : -EFAULT;
}

}  // extern "C"
}  // namespace usetl::kernel
