// polling.cc: epoll, poll and select.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/epoll.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

uint64_t DeadlineOfMilliseconds(int timeout) {
  return timeout < 0 ? kNever : After(Monotonic(), timeout * 1'000'000ull);
}

// A timespec pointer of the application; null waits forever.
int64_t DeadlineOf(const TimeSpec* user, uint64_t* deadline) {
  *deadline = kNever;
  if (user == nullptr) return 0;
  TimeSpec spec;
  if (!GetUser(&spec, user)) return -EFAULT;
  const int64_t ns = ToNanoseconds(spec);
  if (ns < 0) return -EINVAL;
  *deadline = After(Monotonic(), ns);
  return 0;
}

int64_t UseMask(const uint64_t* user, uint64_t size) {
  if (user == nullptr) return 0;
  uint64_t mask;
  if (size != 8) return -EINVAL;
  if (!GetUser(&mask, user)) return -EFAULT;
  SetTemporaryMask(mask);
  return 0;
}

int64_t Poll(PollFd* user, uint64_t count, uint64_t deadline) {
  if (count > kMaxDescriptors) return -EINVAL;
  auto* fds = static_cast<PollFd*>(Allocate(count * sizeof(PollFd) + 1));
  if (fds == nullptr) return -ENOMEM;
  int64_t result = -EFAULT;
  if (CopyFromUser(fds, user, count * sizeof(PollFd))) {
    result = PollFiles(fds, static_cast<uint32_t>(count), deadline);
    if (result >= 0 && !CopyToUser(user, fds, count * sizeof(PollFd))) result = -EFAULT;
  }
  Free(fds);
  return result;
}

constexpr uint32_t kMostSelected = 1024;
struct SelectSets {
  uint64_t words[3][kMostSelected / 64];  // read, write, except
};

int64_t Select(int count, uint64_t* const users[3], uint64_t deadline) {
  if (count < 0) return -EINVAL;
  if (static_cast<uint32_t>(count) > kMostSelected) count = kMostSelected;
  constexpr uint32_t kInterest[3] = {kPollIn | kPollReadHup, kPollOut, kPollPri};
  constexpr uint32_t kReady[3] = {kPollIn | kPollReadHup | kPollHup | kPollErr, kPollOut | kPollErr,
                                  kPollPri};
  const uint64_t bytes = (count + 63) / 64 * 8;
  SelectSets in{}, out{};
  for (int s = 0; s < 3; ++s) {
    if (users[s] != nullptr && !CopyFromUser(in.words[s], users[s], bytes)) return -EFAULT;
  }
  auto* fds = static_cast<PollFd*>(Allocate((count + 1) * sizeof(PollFd)));
  if (fds == nullptr) return -ENOMEM;
  uint32_t used = 0;
  for (int fd = 0; fd < count; ++fd) {
    uint32_t events = 0;
    for (int s = 0; s < 3; ++s) {
      if (in.words[s][fd / 64] >> (fd % 64) & 1) events |= kInterest[s];
    }
    if (events == 0) continue;
    if (GetFile(fd) == nullptr) {
      Free(fds);
      return -EBADF;
    }
    fds[used++] = {fd, static_cast<int16_t>(events), 0};
  }
  int64_t result = PollFiles(fds, used, deadline);
  if (result >= 0) {
    result = 0;
    for (uint32_t i = 0; i < used; ++i) {
      const int fd = fds[i].fd;
      for (int s = 0; s < 3; ++s) {
        if (!(in.words[s][fd / 64] >> (fd % 64) & 1)) continue;
        if (!(static_cast<uint16_t>(fds[i].revents) & kReady[s])) continue;
        out.words[s][fd / 64] |= 1ull << (fd % 64);
        ++result;
      }
    }
    for (int s = 0; s < 3; ++s) {
      if (users[s] != nullptr && !CopyToUser(users[s], out.words[s], bytes)) result = -EFAULT;
    }
  }
  Free(fds);
  return result;
}

}  // namespace

extern "C" {

int64_t sys_epoll_create1(uint32_t flags) {
  File* file = CreateEpoll();
  return file == nullptr ? -ENOMEM : InstallFile(file, flags & kCloseOnExec);
}
int64_t sys_epoll_create(int size) { return size <= 0 ? -EINVAL : sys_epoll_create1(0); }

int64_t sys_epoll_ctl(int epoll, int operation, int fd, const EpollEvent* user) {
  constexpr int kDelete = 2;
  File* file = GetFile(epoll);
  if (file == nullptr) return -EBADF;
  EpollEvent event{};
  if (operation != kDelete && !GetUser(&event, user)) return -EFAULT;
  return ControlEpoll(file, operation, fd, event);
}

int64_t sys_epoll_wait(int epoll, EpollEvent* events, int most, int timeout) {
  FileRef file(epoll);
  return file ? WaitEpoll(file.get(), events, most, DeadlineOfMilliseconds(timeout)) : -EBADF;
}

int64_t sys_epoll_pwait(int epoll, EpollEvent* events, int most, int timeout, const uint64_t* mask,
                        uint64_t size) {
  if (const int64_t error = UseMask(mask, size); error != 0) return error;
  return sys_epoll_wait(epoll, events, most, timeout);
}

int64_t sys_epoll_pwait2(int epoll, EpollEvent* events, int most, const TimeSpec* timeout,
                         const uint64_t* mask, uint64_t size) {
  uint64_t deadline;
  FileRef file(epoll);
  if (!file) return -EBADF;
  if (const int64_t error = DeadlineOf(timeout, &deadline); error != 0) return error;
  if (const int64_t error = UseMask(mask, size); error != 0) return error;
  return WaitEpoll(file.get(), events, most, deadline);
}

int64_t sys_poll(PollFd* user, uint64_t count, int timeout) {
  return Poll(user, count, DeadlineOfMilliseconds(timeout));
}

int64_t sys_ppoll(PollFd* user, uint64_t count, const TimeSpec* timeout, const uint64_t* mask,
                  uint64_t size) {
  uint64_t deadline;
  if (const int64_t error = DeadlineOf(timeout, &deadline); error != 0) return error;
  if (const int64_t error = UseMask(mask, size); error != 0) return error;
  return Poll(user, count, deadline);
}

int64_t sys_select(int count, uint64_t* read, uint64_t* write, uint64_t* except,
                   const TimeVal* timeout) {
  uint64_t deadline = kNever;
  if (timeout != nullptr) {
    TimeVal value;
    if (!GetUser(&value, timeout)) return -EFAULT;
    if (value.seconds < 0 || value.microseconds < 0) return -EINVAL;
    const int64_t ns = ToNanoseconds(
        {value.seconds + value.microseconds / 1'000'000, value.microseconds % 1'000'000 * 1000});
    deadline = After(Monotonic(), ns);
  }
  uint64_t* const users[3] = {read, write, except};
  return Select(count, users, deadline);
}

int64_t sys_pselect6(int count, uint64_t* read, uint64_t* write, uint64_t* except,
                     const TimeSpec* timeout, const uint64_t* const* mask) {
  uint64_t deadline;
  if (const int64_t error = DeadlineOf(timeout, &deadline); error != 0) return error;
  if (mask != nullptr) {
    struct {
      const uint64_t* set;
      uint64_t size;
    } packed;
    if (!CopyFromUser(&packed, mask, sizeof packed)) return -EFAULT;
    if (const int64_t error = UseMask(packed.set, packed.size); error != 0) return error;
  }
  uint64_t* const users[3] = {read, write, except};
  return Select(count, users, deadline);
}

}  // extern "C"
}  // namespace usetl::kernel
