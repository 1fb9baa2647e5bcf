// futex.c: the raw system call: what pthreads, and CPython's locks, stand on.
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static _Atomic uint32_t word;
static atomic_int waiting, woken;

static long futex(_Atomic uint32_t* at, int op, uint32_t value, const struct timespec* timeout,
                  _Atomic uint32_t* second, uint32_t mask) {
  return syscall(SYS_futex, at, op, value, timeout, second, mask);
}

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct timespec span(int64_t ns) {
  return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static void value_differs(void) {
  word = 5;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 6, NULL, NULL, 0), EAGAIN);
  CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0) == 0);
}

static void relative_timeout(void) {
  const struct timespec timeout = span(10 * 1000 * 1000), none = span(0);
  const int64_t start = now(CLOCK_MONOTONIC);
  word = 1;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, &timeout, NULL, 0), ETIMEDOUT);
  CHECK(now(CLOCK_MONOTONIC) - start >= 10 * 1000 * 1000);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, &none, NULL, 0), ETIMEDOUT);
}

static void absolute_timeouts(void) {
  const int64_t end = now(CLOCK_MONOTONIC) + 10 * 1000 * 1000;
  struct timespec until = span(end);
  const int wait = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
  word = 1;
  CHECK_ERRNO(futex(&word, wait, 1, &until, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  CHECK(now(CLOCK_MONOTONIC) >= end);
  until = span(now(CLOCK_REALTIME) + 5 * 1000 * 1000);
  CHECK_ERRNO(futex(&word, wait | FUTEX_CLOCK_REALTIME, 1, &until, NULL, ~0u), ETIMEDOUT);
  until = span(1);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 1, &until, NULL, ~0u), ETIMEDOUT);
}

static void bad_arguments(void) {
  const struct timespec broken = {0, 2000000000};
  word = 1;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, &broken, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex((void*)((char*)&word + 1), FUTEX_WAIT, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, 99, 1, NULL, NULL, 0), ENOSYS);
}

static void* wait_with_mask(void* mask) {
  atomic_fetch_add(&waiting, 1);
  const int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
  while (word == 1) futex(&word, op, 1, NULL, NULL, (uint32_t)(uintptr_t)mask);
  atomic_fetch_add(&woken, 1);
  return NULL;
}

// Starts waiters and gives them the time to fall asleep; that they sleep is checked by who wakes.
static int start(pthread_t* threads, int count, const uint32_t* masks) {
  word = 1;
  waiting = woken = 0;
  for (int i = 0; i < count; i++) {
    if (pthread_create(&threads[i], NULL, wait_with_mask, (void*)(uintptr_t)masks[i])) return 0;
  }
  while (atomic_load(&waiting) < count) usleep(1000);
  usleep(20000);
  return 1;
}

// One at a time, until so many have got away. A waiter that was late to sleep needs no wake.
static void wake_until(int total, uint32_t mask) {
  const int op = FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG;
  while (atomic_load(&woken) < total) {
    EXPECT(futex(&word, op, 1, NULL, NULL, mask) <= 1);
    usleep(1000);
  }
}

static void wake_all(void) {
  pthread_t threads[4];
  const uint32_t masks[4] = {~0u, ~0u, ~0u, ~0u};
  CHECK(start(threads, 4, masks));
  word = 2;
  futex(&word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(woken == 4);
}

static void wake_some(void) {
  pthread_t threads[3];
  const uint32_t masks[3] = {~0u, ~0u, ~0u};
  CHECK(start(threads, 3, masks));
  word = 2;
  const long number = futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
  CHECK(number >= 0 && number <= 2);
  wake_until(3, ~0u);
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void wake_by_mask(void) {
  pthread_t threads[2];
  const uint32_t masks[2] = {1, 2};
  CHECK(start(threads, 2, masks));
  const int op = FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG;
  CHECK(futex(&word, op, 10, NULL, NULL, 4) == 0);
  word = 2;
  wake_until(1, 2);
  CHECK(pthread_join(threads[1], NULL) == 0);
  wake_until(2, 1);
  CHECK(pthread_join(threads[0], NULL) == 0);
}

static void requeue(void) {
  static _Atomic uint32_t other;
  pthread_t threads[3];
  const uint32_t masks[3] = {~0u, ~0u, ~0u};
  CHECK(start(threads, 3, masks));
  const int op = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG;
  // Arguments: wake one, move the rest (the count travels where a timeout would).
  errno = 0;
  CHECK(syscall(SYS_futex, &word, op, 1, 100, &other, 9) == -1 && errno == EAGAIN);
  word = 2;
  const long moved = syscall(SYS_futex, &word, op, 1, 100, &other, 2);
  CHECK(moved >= 0 && moved <= 3);
  while (atomic_load(&woken) < 3) {
    futex(&other, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    futex(&word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    usleep(1000);
  }
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
  RUN(value_differs);
  RUN(relative_timeout);
  RUN(absolute_timeouts);
  RUN(bad_arguments);
  RUN(wake_all);
  RUN(wake_some);
  RUN(wake_by_mask);
  RUN(requeue);
  return check_done();
}
