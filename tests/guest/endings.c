// endings.c: sockets and pipes when something goes wrong or ends: nobody waits for ever, nothing is
// lost.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { kLarge = 1 << 20 };

static void pair_of_tcp(int ends[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(bind(server, (struct sockaddr*)&address, size) == 0 && listen(server, 1) == 0);
  EXPECT(getsockname(server, (struct sockaddr*)&address, &size) == 0);
  EXPECT(connect(ends[0], (struct sockaddr*)&address, size) == 0);
  ends[1] = accept(server, NULL, NULL);
  EXPECT(ends[1] >= 0 && close(server) == 0);
}

static void* send_until_refused(void* end) {
  static char block[kLarge];
  ssize_t sent;
  do {
    sent = send(*(int*)end, block, sizeof block, MSG_NOSIGNAL);
  } while (sent > 0);
  EXPECT(sent == -1 && errno == EPIPE);
  return NULL;
}

static void shutdown_wakes_a_sender(void) {
  int ends[2];
  pthread_t thread;
  pair_of_tcp(ends);
  CHECK(pthread_create(&thread, NULL, send_until_refused, &ends[0]) == 0);
  usleep(20000);
  CHECK(shutdown(ends[0], SHUT_RDWR) == 0 && pthread_join(thread, NULL) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void* receive_the_end(void* end) {
  char byte;
  EXPECT(recv(*(int*)end, &byte, 1, 0) == 0);
  return NULL;
}

static void shutdown_wakes_a_receiver(void) {
  int udp = socket(AF_INET, SOCK_DGRAM, 0), ends[2];
  struct sockaddr_in address = {.sin_family = AF_INET};
  pthread_t thread;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(bind(udp, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(pthread_create(&thread, NULL, receive_the_end, &udp) == 0);
  usleep(20000);
  CHECK_ERRNO(shutdown(udp, SHUT_RDWR), ENOTCONN);
  CHECK(pthread_join(thread, NULL) == 0 && close(udp) == 0);
  pair_of_tcp(ends);
  CHECK(pthread_create(&thread, NULL, receive_the_end, &ends[0]) == 0);
  usleep(20000);
  CHECK(shutdown(ends[0], SHUT_RD) == 0 && pthread_join(thread, NULL) == 0);
  CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) == 1);  // the other end is not told
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void first_piece_only(void) {
  int ends[2];
  char a[4], b[100];
  struct iovec pieces[2] = {{a, sizeof a}, {b, sizeof b}};
  CHECK(pipe(ends) == 0 && write(ends[1], "four", 4) == 4);
  CHECK(readv(ends[0], pieces, 2) == 4 && close(ends[0]) == 0 && close(ends[1]) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[1], "four", 4) == 4);
  CHECK(readv(ends[0], pieces, 2) == 4 && close(ends[0]) == 0 && close(ends[1]) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  struct iovec parts[2] = {{"head", 4}, {"body", 4}};
  CHECK(writev(ends[1], parts, 2) == 8 && readv(ends[0], pieces, 2) == 8);
  CHECK(memcmp(a, "head", 4) == 0 && memcmp(b, "body", 4) == 0);
  CHECK_ERRNO(recv(ends[0], a, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void descriptors_again(void) {
  const int epoll = epoll_create1(0);
  for (int i = 0; i < 50; ++i) {
    struct epoll_event event = {.events = EPOLLIN};
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  }
  CHECK(close(epoll) == 0);
}

static void no_descriptor_left(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  struct rlimit limit, none;
  char text[4];
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(server, (struct sockaddr*)&address, size) == 0 && listen(server, 4) == 0);
  CHECK(getsockname(server, (struct sockaddr*)&address, &size) == 0);
  CHECK(connect(client, (struct sockaddr*)&address, size) == 0 && write(client, "hi", 2) == 2);
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  none = limit;
  none.rlim_cur = (rlim_t)client + 1;
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  CHECK_ERRNO(accept(server, NULL, NULL), EMFILE);
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const int peer = accept(server, NULL, NULL);  // it has waited
  CHECK(peer >= 0 && read(peer, text, 4) == 2 && close(peer) == 0);
  CHECK(close(client) == 0 && close(server) == 0);
}

static void on_alarm(int signal) { (void)signal; }

static void time_limits_and_signals(void) {
  struct itimerval timer = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
  struct timeval limit = {30, 0};
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  int ends[2];
  char byte;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
  CHECK_ERRNO(recv(ends[0], &byte, 1, 0), EINTR);
  CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void messages(void) {
  static char large[200000];
  int ends[2], waiting = 0;
  char text[16];
  struct iovec piece = {text, 4};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  struct stat a, b;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  CHECK(fstat(ends[0], &a) == 0 && fstat(ends[1], &b) == 0 && a.st_ino != b.st_ino);
  CHECK(send(ends[0], "0123456789", 10, 0) == 10);
  CHECK(recv(ends[1], text, 2, MSG_PEEK | MSG_TRUNC) == 10);
  CHECK(recvmsg(ends[1], &message, 0) == 4 && (message.msg_flags & MSG_TRUNC) != 0);
  CHECK(send(ends[0], large, sizeof large, 0) == sizeof large);
  CHECK(recv(ends[1], large, sizeof large, 0) == sizeof large);
  struct pollfd room = {.fd = ends[0], .events = POLLOUT};
  while (send(ends[0], large, 5000, MSG_DONTWAIT) == 5000) waiting = 1;
  CHECK(errno == EAGAIN && waiting == 1 && poll(&room, 1, 0) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 && close(ends[1]) == 0);
  CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), ECONNREFUSED);
  CHECK_ERRNO(recv(ends[0], text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(close(ends[0]) == 0);
}

static void no_lingering(void) {
  int ends[2];
  char byte;
  const struct linger at_once = {1, 0};
  pair_of_tcp(ends);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  CHECK(close(ends[0]) == 0);
  CHECK_ERRNO(read(ends[1], &byte, 1), ECONNRESET);
  CHECK(close(ends[1]) == 0);
}

struct copy {
  int from, to;
};

static void* send_file(void* arguments) {
  const struct copy* copy = arguments;
  off_t at = 0;
  while (at < kLarge) EXPECT(sendfile(copy->to, copy->from, &at, (size_t)(kLarge - at)) > 0);
  EXPECT(shutdown(copy->to, SHUT_WR) == 0);
  return NULL;
}

static void files_to_two_at_once(void) {
  static char block[kLarge];
  pthread_t threads[2];
  struct copy copies[2];
  int receivers[2];
  for (int i = 0; i < 2; ++i) {
    int ends[2];
    char name[] = "/tmp/usetl-endings-XXXXXX";
    copies[i].from = mkstemp(name);
    memset(block, 'a' + i, sizeof block);
    CHECK(write(copies[i].from, block, sizeof block) == sizeof block && unlink(name) == 0);
    pair_of_tcp(ends);
    copies[i].to = ends[0];
    receivers[i] = ends[1];
  }
  for (int i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, send_file, &copies[i]) == 0);
  size_t got[2] = {0, 0};
  for (int open = 2; open > 0;) {
    for (int i = 0; i < 2; ++i) {
      if (receivers[i] < 0) continue;
      char piece[3000];
      const ssize_t size = read(receivers[i], piece, sizeof piece);
      CHECK(size >= 0);
      for (ssize_t k = 0; k < size; ++k) CHECK(piece[k] == 'a' + i);
      got[i] += (size_t)size;
      if (size != 0) continue;
      CHECK(close(receivers[i]) == 0);
      receivers[i] = -1;
      --open;
    }
  }
  CHECK(got[0] == kLarge && got[1] == kLarge);
  for (int i = 0; i < 2; ++i) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(close(copies[i].from) == 0 && close(copies[i].to) == 0);
  }
}

// Small datagrams that nobody reads must not use up what everything else needs.
static void nobody_reads(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  const int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(bind(receiver, (struct sockaddr*)&address, size) == 0);
  CHECK(getsockname(receiver, (struct sockaddr*)&address, &size) == 0);
  CHECK(connect(sender, (struct sockaddr*)&address, size) == 0);
  for (int i = 0; i < 100000; ++i) CHECK(send(sender, "g", (size_t)(i & 1), 0) == (i & 1));
  void* memory = malloc(kLarge);
  CHECK(memory != NULL);
  free(memory);
  CHECK(close(receiver) == 0 && close(sender) == 0);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  RUN(shutdown_wakes_a_sender);
  RUN(shutdown_wakes_a_receiver);
  RUN(first_piece_only);
  RUN(descriptors_again);
  RUN(no_descriptor_left);
  RUN(time_limits_and_signals);
  RUN(messages);
  RUN(no_lingering);
  RUN(files_to_two_at_once);
  RUN(nobody_reads);
  return check_done();
}
