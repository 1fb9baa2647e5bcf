// pipes.c: pipes and socket pairs: order, blocking, ends that close, datagrams.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { kLarge = 1 << 20 };

static unsigned char pattern(size_t i) { return (unsigned char)(i * 7 + i / 4096); }

static void bytes_in_order(void) {
  int ends[2], waiting = 0;
  char text[16] = "";
  struct stat info;
  CHECK(pipe(ends) == 0 && write(ends[1], "abc", 3) == 3 && write(ends[1], "def", 3) == 3);
  CHECK(ioctl(ends[0], FIONREAD, &waiting) == 0 && waiting == 6);
  CHECK(read(ends[0], text, 4) == 4 && read(ends[0], text + 4, 12) == 2);
  CHECK(strcmp(text, "abcdef") == 0 && fstat(ends[0], &info) == 0 && S_ISFIFO(info.st_mode));
  CHECK_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
  CHECK_ERRNO(read(ends[1], text, 1), EBADF);
  CHECK_ERRNO(write(ends[0], text, 1), EBADF);
  CHECK(close(ends[1]) == 0 && read(ends[0], text, 1) == 0 && close(ends[0]) == 0);
}

static void full_and_empty(void) {
  int ends[2];
  static char block[4096];
  size_t written = 0, drained = 0;
  ssize_t size;
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(fcntl(ends[0], F_GETFD) == FD_CLOEXEC && (fcntl(ends[1], F_GETFL) & O_NONBLOCK) != 0);
  CHECK_ERRNO(read(ends[0], block, 1), EAGAIN);
  while ((size = write(ends[1], block, sizeof block)) > 0) written += (size_t)size;
  CHECK(errno == EAGAIN && written >= 4096);
  while ((size = read(ends[0], block, sizeof block)) > 0) drained += (size_t)size;
  CHECK(errno == EAGAIN && drained == written && write(ends[1], "x", 1) == 1);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void broken_pipe(void) {
  int ends[2];
  signal(SIGPIPE, SIG_IGN);
  CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
  CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
  CHECK(close(ends[1]) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(close(ends[0]) == 0);
  CHECK_ERRNO(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(close(ends[1]) == 0);
}

static void* write_large(void* end) {
  unsigned char* bytes = malloc(kLarge);
  for (size_t i = 0; i < kLarge; i++) bytes[i] = pattern(i);
  for (size_t at = 0; at < kLarge;) {
    const ssize_t size = write(*(int*)end, bytes + at, kLarge - at);
    EXPECT(size > 0);
    if (size <= 0) break;
    at += (size_t)size;
  }
  free(bytes);
  close(*(int*)end);
  return NULL;
}

static int receives_large(int ends[2]) {
  pthread_t thread;
  static unsigned char block[10000];
  size_t at = 0;
  ssize_t size;
  if (pthread_create(&thread, NULL, write_large, &ends[1]) != 0) return 0;
  while ((size = read(ends[0], block, sizeof block)) > 0) {
    for (ssize_t i = 0; i < size; i++) {
      if (block[i] != pattern(at++)) return 0;
    }
  }
  return pthread_join(thread, NULL) == 0 && at == kLarge && close(ends[0]) == 0;
}

static void a_thread_fills_what_another_drains(void) {
  int ends[2];
  CHECK(pipe(ends) == 0 && receives_large(ends));
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 && receives_large(ends));
}

static void stream_sockets(void) {
  int pair[2], kind = 0;
  char text[8] = "";
  socklen_t length = sizeof kind;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(send(pair[0], "ping", 4, 0) == 4 && recv(pair[1], text, 2, MSG_PEEK) == 2);
  CHECK(recv(pair[1], text, 8, 0) == 4 && memcmp(text, "ping", 4) == 0);
  CHECK(write(pair[1], "pong", 4) == 4 && read(pair[0], text, 8) == 4);
  CHECK_ERRNO(recv(pair[0], text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &kind, &length) == 0 && kind == SOCK_STREAM);
  CHECK(shutdown(pair[0], SHUT_WR) == 0 && read(pair[1], text, 1) == 0);
  CHECK(write(pair[1], "still", 5) == 5 && read(pair[0], text, 5) == 5);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void datagrams_keep_their_borders(void) {
  int pair[2];
  char text[16] = "";
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  CHECK(send(pair[0], "one", 3, 0) == 3 && send(pair[0], "three", 5, 0) == 5);
  CHECK(recv(pair[1], text, 16, 0) == 3 && recv(pair[1], text, 2, 0) == 2);
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void messages(void) {
  int pair[2];
  char first[3] = "", second[8] = "";
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  struct iovec out[2] = {{"ab", 2}, {"cde", 3}}, in[2] = {{first, 2}, {second, 8}};
  const struct msghdr sent = {.msg_iov = out, .msg_iovlen = 2};
  struct msghdr got = {.msg_iov = in, .msg_iovlen = 2};
  CHECK(sendmsg(pair[0], &sent, 0) == 5 && recvmsg(pair[1], &got, 0) == 5);
  CHECK(strcmp(first, "ab") == 0 && memcmp(second, "cde", 3) == 0);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void file_to_pipe(void) {
  char root[64], text[8] = "";
  int ends[2];
  off_t from = 2;
  make_directory(root);
  strcat(root, "/file");
  const int fd = open(root, O_RDWR | O_CREAT, 0644);
  CHECK(write(fd, "0123456", 7) == 7 && pipe(ends) == 0);
  CHECK(sendfile(ends[1], fd, &from, 4) == 4 && from == 6 && read(ends[0], text, 8) == 4);
  CHECK(memcmp(text, "2345", 4) == 0 && lseek(fd, 0, SEEK_CUR) == 7);
  CHECK(close(fd) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0 && unlink(root) == 0);
}

int main(void) {
  RUN(bytes_in_order);
  RUN(full_and_empty);
  RUN(broken_pipe);
  RUN(a_thread_fills_what_another_drains);
  RUN(stream_sockets);
  RUN(datagrams_keep_their_borders);
  RUN(messages);
  RUN(file_to_pipe);
  return check_done();
}
