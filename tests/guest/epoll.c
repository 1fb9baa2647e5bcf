// epoll.c: waiting for descriptors: epoll in its modes, eventfd, poll, select.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static int add(int epoll, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = 0xabcd00000000u + (unsigned)fd};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

// Waits without blocking; 0, or the events of the one descriptor that is ready.
static uint32_t ready(int epoll, int fd) {
  struct epoll_event events[4];
  const int count = epoll_wait(epoll, events, 4, 0);
  if (count == 0) return 0;
  if (count != 1 || events[0].data.u64 != 0xabcd00000000u + (unsigned)fd) return ~0u;
  return events[0].events;
}

static void eventfd_counter(void) {
  uint64_t value = 5;
  const int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(fd >= 0 && write(fd, &value, 8) == 8 && read(fd, &value, 8) == 8 && value == 8);
  CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
  value = UINT64_MAX - 1;
  CHECK(write(fd, &value, 8) == 8);
  CHECK_ERRNO(write(fd, &(uint64_t){1}, 8), EAGAIN);
  CHECK_ERRNO(write(fd, &(uint64_t){UINT64_MAX}, 8), EINVAL);
  CHECK_ERRNO(read(fd, &value, 4), EINVAL);
  CHECK(close(fd) == 0);
}

static void eventfd_semaphore(void) {
  uint64_t value = 0;
  const int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  CHECK(read(fd, &value, 8) == 8 && value == 1 && read(fd, &value, 8) == 8 && value == 1);
  CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
  CHECK(close(fd) == 0);
}

static void level_triggered(void) {
  uint64_t value = 1;
  const int epoll = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_NONBLOCK);
  CHECK(epoll >= 0 && add(epoll, fd, EPOLLIN) == 0 && ready(epoll, fd) == 0);
  CHECK(write(fd, &value, 8) == 8 && ready(epoll, fd) == EPOLLIN && ready(epoll, fd) == EPOLLIN);
  CHECK(read(fd, &value, 8) == 8 && ready(epoll, fd) == 0);
  struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 0xabcd00000000u + (unsigned)fd};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0 && ready(epoll, fd) == EPOLLOUT);
  CHECK_ERRNO(add(epoll, fd, EPOLLIN), EEXIST);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) == 0 && ready(epoll, fd) == 0);
  CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), ENOENT);
  CHECK(close(fd) == 0 && close(epoll) == 0);
}

static void edge_triggered_and_oneshot(void) {
  int ends[2];
  const int epoll = epoll_create1(0);
  CHECK(pipe2(ends, O_NONBLOCK) == 0 && add(epoll, ends[0], EPOLLIN | EPOLLET) == 0);
  CHECK(write(ends[1], "ab", 2) == 2);
  CHECK(ready(epoll, ends[0]) == EPOLLIN && ready(epoll, ends[0]) == 0);
  CHECK(write(ends[1], "c", 1) == 1 && ready(epoll, ends[0]) == EPOLLIN);
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
                              .data.u64 = 0xabcd00000000u + (unsigned)ends[0]};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event) == 0);
  CHECK(ready(epoll, ends[0]) == EPOLLIN && ready(epoll, ends[0]) == 0);
  CHECK(write(ends[1], "d", 1) == 1 && ready(epoll, ends[0]) == 0);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event) == 0);
  CHECK(ready(epoll, ends[0]) == EPOLLIN);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(epoll) == 0);
}

static void hang_up_and_close(void) {
  int pair[2];
  const int epoll = epoll_create1(0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(add(epoll, pair[0], EPOLLIN | EPOLLRDHUP) == 0 && close(pair[1]) == 0);
  CHECK(ready(epoll, pair[0]) == (EPOLLIN | EPOLLRDHUP | EPOLLHUP));
  CHECK(close(pair[0]) == 0 && ready(epoll, pair[0]) == 0 && close(epoll) == 0);
  int ends[2];
  struct pollfd wait;
  CHECK(pipe(ends) == 0 && close(ends[1]) == 0);
  wait = (struct pollfd){.fd = ends[0], .events = POLLIN};
  CHECK(poll(&wait, 1, 0) == 1 && wait.revents == POLLHUP && close(ends[0]) == 0);
  CHECK(poll(&wait, 1, 0) == 1 && wait.revents == POLLNVAL);
}

static void* ring(void* fd) {
  usleep(10000);
  EXPECT(write(*(int*)fd, &(uint64_t){7}, 8) == 8);
  return NULL;
}

static void woken_by_a_thread(void) {
  pthread_t thread;
  uint64_t value = 0;
  int fd = eventfd(0, 0);
  struct epoll_event event;
  const int epoll = epoll_create1(0);
  CHECK(add(epoll, fd, EPOLLIN) == 0 && pthread_create(&thread, NULL, ring, &fd) == 0);
  CHECK(epoll_wait(epoll, &event, 1, -1) == 1 && pthread_join(thread, NULL) == 0);
  CHECK(read(fd, &value, 8) == 8 && value == 7);
  CHECK(pthread_create(&thread, NULL, ring, &fd) == 0);
  CHECK(read(fd, &value, 8) == 8 && value == 7 && pthread_join(thread, NULL) == 0);
  CHECK(epoll_wait(epoll, &event, 1, 10) == 0);
  CHECK_ERRNO(epoll_wait(epoll, &event, 0, 0), EINVAL);
  CHECK(close(fd) == 0 && close(epoll) == 0);
}

static void nested(void) {
  const int outer = epoll_create1(0), inner = epoll_create1(0), fd = eventfd(0, 0);
  CHECK(add(outer, inner, EPOLLIN) == 0 && add(inner, fd, EPOLLIN) == 0);
  CHECK(ready(outer, inner) == 0);
  CHECK(write(fd, &(uint64_t){1}, 8) == 8 && ready(outer, inner) == EPOLLIN);
  CHECK(close(outer) == 0 && close(inner) == 0 && close(fd) == 0);
}

static void polling(void) {
  int ends[2];
  const struct timespec shortly = {0, 1000000};
  sigset_t none;
  CHECK(pipe(ends) == 0);
  struct pollfd wait[3] = {{.fd = ends[0], .events = POLLIN},
                           {.fd = -1, .events = POLLIN},
                           {.fd = ends[1], .events = POLLOUT}};
  CHECK(poll(wait, 3, 0) == 1 && wait[0].revents == 0 && wait[2].revents == POLLOUT);
  CHECK(write(ends[1], "x", 1) == 1 && poll(wait, 3, 1000) == 2 && wait[0].revents == POLLIN);
  CHECK(poll(wait + 1, 1, 5) == 0 && wait[1].revents == 0);
  sigemptyset(&none);
  CHECK(ppoll(wait, 1, NULL, &none) == 1 && ppoll(wait + 1, 1, &shortly, NULL) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void selecting(void) {
  int ends[2];
  fd_set reading, writing;
  struct timeval shortly = {0, 5000};
  CHECK(pipe(ends) == 0);
  FD_ZERO(&reading);
  FD_ZERO(&writing);
  FD_SET(ends[0], &reading);
  CHECK(select(ends[0] + 1, &reading, NULL, NULL, &shortly) == 0 && !FD_ISSET(ends[0], &reading));
  CHECK(write(ends[1], "x", 1) == 1);
  FD_SET(ends[0], &reading);
  FD_SET(ends[1], &writing);
  CHECK(select(ends[1] + 1, &reading, &writing, NULL, NULL) == 2);
  CHECK(FD_ISSET(ends[0], &reading) && FD_ISSET(ends[1], &writing));
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

int main(void) {
  RUN(eventfd_counter);
  RUN(eventfd_semaphore);
  RUN(level_triggered);
  RUN(edge_triggered_and_oneshot);
  RUN(hang_up_and_close);
  RUN(woken_by_a_thread);
  RUN(nested);
  RUN(polling);
  RUN(selecting);
  return check_done();
}
