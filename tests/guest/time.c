// time.c: clocks, sleeping and timerfd. Lower bounds only: a test machine may be slow.
#include <poll.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static const int64_t kMs = 1000 * 1000, kSecond = 1000 * 1000 * 1000;

static int64_t now(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) return -1;
  return time.tv_sec * kSecond + time.tv_nsec;
}

static struct timespec span(int64_t ns) { return (struct timespec){ns / kSecond, ns % kSecond}; }

static void monotonic(void) {
  const int64_t first = now(CLOCK_MONOTONIC);
  int64_t last = first;
  CHECK(first > 0);
  for (int i = 0; i < 100000; i++) {
    const int64_t next = now(CLOCK_MONOTONIC);
    CHECK(next >= last);
    last = next;
  }
  CHECK(last > first);
}

static void clocks_agree(void) {
  struct timeval day;
  const int64_t wall = now(CLOCK_REALTIME);
  CHECK(wall > 1700000000 * kSecond && time(NULL) + 1 >= wall / kSecond);
  CHECK(gettimeofday(&day, NULL) == 0 && day.tv_sec >= wall / kSecond);
  CHECK(day.tv_usec >= 0 && day.tv_usec < 1000000);
  CHECK(now(CLOCK_MONOTONIC_COARSE) > 0 && now(CLOCK_REALTIME_COARSE) > 0);
  CHECK(now(CLOCK_MONOTONIC_RAW) > 0 && now(CLOCK_BOOTTIME) > 0);
  CHECK_ERRNO(now(1234), EINVAL);
}

static void resolution(void) {
  struct timespec step;
  CHECK(clock_getres(CLOCK_MONOTONIC, &step) == 0 && step.tv_sec == 0 && step.tv_nsec > 0);
  CHECK(step.tv_nsec <= 10 * kMs);
}

static void cpu_time(void) {
  const int64_t process = now(CLOCK_PROCESS_CPUTIME_ID), thread = now(CLOCK_THREAD_CPUTIME_ID);
  CHECK(process > 0 && thread >= 0);
  volatile uint64_t turns = 0;
  while (turns < 20u * 1000 * 1000) turns++;
  CHECK(now(CLOCK_PROCESS_CPUTIME_ID) > process && now(CLOCK_THREAD_CPUTIME_ID) > thread);
  // Sleep is no work.
  const struct timespec nap = {0, 200000000};
  const int64_t before = now(CLOCK_PROCESS_CPUTIME_ID);
  CHECK(nanosleep(&nap, NULL) == 0 && now(CLOCK_PROCESS_CPUTIME_ID) - before < 150000000);
  CHECK(clock() > 0);
}

static void sleeping(void) {
  const int64_t start = now(CLOCK_MONOTONIC);
  struct timespec pause = span(15 * kMs);
  CHECK(nanosleep(&pause, NULL) == 0 && now(CLOCK_MONOTONIC) - start >= 15 * kMs);
  CHECK(usleep(5000) == 0 && now(CLOCK_MONOTONIC) - start >= 20 * kMs);
  pause = span(0);
  CHECK(nanosleep(&pause, NULL) == 0);
  pause.tv_nsec = kSecond;
  CHECK_ERRNO(nanosleep(&pause, NULL), EINVAL);
}

static void sleeping_until(void) {
  const int64_t end = now(CLOCK_MONOTONIC) + 15 * kMs;
  struct timespec until = span(end);
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
  CHECK(now(CLOCK_MONOTONIC) >= end);
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);  // already past
  until = span(now(CLOCK_REALTIME) + 5 * kMs);
  CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == 0);
}

static void timer_descriptor(void) {
  uint64_t expired = 0;
  struct itimerspec state;
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const struct itimerspec once = {.it_value = span(10 * kMs)}, off = {0};
  const int64_t start = now(CLOCK_MONOTONIC);
  CHECK(fd >= 0);
  CHECK_ERRNO(read(fd, &expired, 8), EAGAIN);
  CHECK(timerfd_settime(fd, 0, &once, NULL) == 0 && timerfd_gettime(fd, &state) == 0);
  CHECK(state.it_value.tv_sec == 0 && state.it_value.tv_nsec <= 10 * kMs);
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  CHECK(poll(&wait, 1, -1) == 1 && wait.revents == POLLIN);
  CHECK(now(CLOCK_MONOTONIC) - start >= 10 * kMs);
  CHECK(read(fd, &expired, 8) == 8 && expired == 1);
  CHECK_ERRNO(read(fd, &expired, 8), EAGAIN);
  CHECK(timerfd_settime(fd, 0, &once, NULL) == 0 && timerfd_settime(fd, 0, &off, &state) == 0);
  CHECK(state.it_value.tv_nsec > 0 || state.it_value.tv_sec == 0);
  CHECK(poll(&wait, 1, 20) == 0 && close(fd) == 0);
}

static void periodic_timer(void) {
  uint64_t expired = 0, sum = 0;
  const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  const int64_t start = now(CLOCK_MONOTONIC);
  const struct itimerspec often = {.it_value = span(3 * kMs), .it_interval = span(3 * kMs)};
  CHECK(timerfd_settime(fd, 0, &often, NULL) == 0);
  while (sum < 5) {
    CHECK(read(fd, &expired, 8) == 8 && expired >= 1);
    sum += expired;
  }
  CHECK(now(CLOCK_MONOTONIC) - start >= 15 * kMs && close(fd) == 0);
}

static void absolute_timer(void) {
  uint64_t expired = 0;
  const int fd = timerfd_create(CLOCK_REALTIME, 0);
  const struct itimerspec past = {.it_value = {1, 0}};
  CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, NULL) == 0);
  CHECK(read(fd, &expired, 8) == 8 && expired == 1 && close(fd) == 0);
}

int main(void) {
  RUN(monotonic);
  RUN(clocks_agree);
  RUN(resolution);
  RUN(cpu_time);
  RUN(sleeping);
  RUN(sleeping_until);
  RUN(timer_descriptor);
  RUN(periodic_timer);
  RUN(absolute_timer);
  return check_done();
}
