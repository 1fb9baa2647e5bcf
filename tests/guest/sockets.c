// sockets.c: servers and clients on the loopback, and sockets with names in the file system.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

enum { kLarge = 1 << 20 };

static char directory[64];

static struct sockaddr_in loopback(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A socket of `type` bound to a free port of the loopback; its address in *address. -1: failed.
static int bound(int type, struct sockaddr_in* address) {
  const int fd = socket(AF_INET, type, 0);
  socklen_t size = sizeof *address;
  *address = loopback(0);
  if (fd < 0 || bind(fd, (struct sockaddr*)address, size) != 0 ||
      getsockname(fd, (struct sockaddr*)address, &size) != 0 || size != sizeof *address) {
    return -1;
  }
  return fd;
}

static int listener(struct sockaddr_in* address) {
  const int fd = bound(SOCK_STREAM, address);
  return fd >= 0 && listen(fd, 8) == 0 ? fd : -1;
}

static int client_of(const struct sockaddr_in* address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (const struct sockaddr*)address, sizeof *address) == 0 ? fd : -1;
}

static struct sockaddr_un named(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%.60s/%.30s", directory, name);
  return address;
}

static void connection(void) {
  struct sockaddr_in address, seen, own;
  socklen_t size = sizeof seen;
  char text[16] = "";
  int waiting = 0;
  const int server = listener(&address);
  CHECK(server >= 0 && address.sin_port != 0);
  const int client = client_of(&address);
  CHECK(client >= 0);
  const int peer = accept4(server, (struct sockaddr*)&seen, &size, SOCK_CLOEXEC);
  CHECK(peer >= 0 && size == sizeof seen && fcntl(peer, F_GETFD) == FD_CLOEXEC);
  size = sizeof own;
  CHECK(getsockname(client, (struct sockaddr*)&own, &size) == 0);
  CHECK(own.sin_port == seen.sin_port && own.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  size = sizeof own;
  CHECK(getpeername(client, (struct sockaddr*)&own, &size) == 0);
  CHECK(own.sin_port == address.sin_port);
  size = sizeof own;
  CHECK(getsockname(peer, (struct sockaddr*)&own, &size) == 0);
  CHECK(own.sin_port == address.sin_port);
  CHECK(send(client, "question", 8, 0) == 8 && recv(peer, text, 4, MSG_PEEK) == 4);
  CHECK(ioctl(peer, FIONREAD, &waiting) == 0 && waiting == 8);
  CHECK(recv(peer, text, sizeof text, 0) == 8 && strcmp(text, "question") == 0);
  CHECK(write(peer, "answer", 6) == 6 && read(client, text, sizeof text) == 6);
  CHECK_ERRNO(recv(client, text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(shutdown(client, SHUT_WR) == 0 && read(peer, text, 1) == 0);
  CHECK(send(peer, "late", 4, 0) == 4 && recv(client, text, 16, 0) == 4);
  CHECK_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(close(peer) == 0 && read(client, text, 1) == 0 && close(client) == 0);
  CHECK(close(server) == 0);
}

static void refused(void) {
  struct sockaddr_in address;
  const int server = bound(SOCK_STREAM, &address);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(server >= 0 && client >= 0);
  // Bound is not listening.
  CHECK_ERRNO(connect(client, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  CHECK(close(server) == 0 && close(client) == 0);
}

static void ports_in_use(void) {
  struct sockaddr_in address, any;
  const int one = 1;
  const int server = listener(&address);
  const int other = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(server >= 0 && other >= 0);
  any = address;
  any.sin_addr.s_addr = htonl(INADDR_ANY);
  CHECK_ERRNO(bind(other, (struct sockaddr*)&address, sizeof address), EADDRINUSE);
  CHECK_ERRNO(bind(other, (struct sockaddr*)&any, sizeof any), EADDRINUSE);
  CHECK(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
  CHECK_ERRNO(bind(other, (struct sockaddr*)&address, sizeof address), EADDRINUSE);
  CHECK(close(server) == 0 && bind(other, (struct sockaddr*)&any, sizeof any) == 0);
  CHECK_ERRNO(bind(other, (struct sockaddr*)&any, sizeof any), EINVAL);
  CHECK(listen(other, 1) == 0);
  const int client = client_of(&address);
  CHECK(client >= 0 && close(client) == 0 && close(other) == 0);
}

static void* send_large(void* end) {
  const int fd = *(int*)end;
  unsigned char* bytes = malloc(kLarge);
  for (size_t i = 0; i < kLarge; ++i) bytes[i] = (unsigned char)(i * 7 + i / 4096);
  EXPECT(send(fd, bytes, kLarge, 0) == kLarge && shutdown(fd, SHUT_WR) == 0);
  free(bytes);
  return NULL;
}

static void much(void) {
  struct sockaddr_in address;
  pthread_t thread;
  static unsigned char bytes[kLarge];
  const int server = listener(&address);
  int client = client_of(&address);
  CHECK(server >= 0 && client >= 0);
  const int peer = accept(server, NULL, NULL);
  CHECK(pthread_create(&thread, NULL, send_large, &client) == 0);
  CHECK(recv(peer, bytes, sizeof bytes, MSG_WAITALL) == kLarge);
  CHECK(pthread_join(thread, NULL) == 0 && recv(peer, bytes, 1, 0) == 0);
  for (size_t i = 0; i < kLarge; ++i) CHECK(bytes[i] == (unsigned char)(i * 7 + i / 4096));
  CHECK(close(peer) == 0 && close(client) == 0 && close(server) == 0);
}

static void* accept_one(void* server) {
  const int peer = accept(*(int*)server, NULL, NULL);
  EXPECT(peer >= 0 && write(peer, "hello", 5) == 5 && close(peer) == 0);
  return NULL;
}

static void waiting(void) {
  struct sockaddr_in address;
  struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = 7}}, got;
  struct pollfd ready = {.events = POLLOUT};
  char text[8];
  int error = -1;
  socklen_t size = sizeof error;
  int server = listener(&address);
  const int epoll = epoll_create1(0);
  CHECK(server >= 0 && fcntl(server, F_SETFL, O_NONBLOCK) == 0);
  CHECK_ERRNO(accept(server, NULL, NULL), EAGAIN);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 0);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int now = connect(client, (struct sockaddr*)&address, sizeof address);
  CHECK(now == 0 || errno == EINPROGRESS);
  ready.fd = client;
  CHECK(poll(&ready, 1, 1000) == 1 && ready.revents == POLLOUT);
  CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
  CHECK(epoll_wait(epoll, &got, 1, 1000) == 1 && got.data.u32 == 7 && got.events == EPOLLIN);
  const int peer = accept(server, NULL, NULL);
  CHECK(peer >= 0 && epoll_wait(epoll, &got, 1, 0) == 0);
  CHECK_ERRNO(recv(client, text, 1, 0), EAGAIN);
  CHECK(close(peer) == 0 && close(client) == 0 && close(epoll) == 0);
  // A thread in accept() is woken.
  pthread_t thread;
  CHECK(fcntl(server, F_SETFL, 0) == 0 && pthread_create(&thread, NULL, accept_one, &server) == 0);
  usleep(2000);
  const int late = client_of(&address);
  CHECK(late >= 0 && recv(late, text, 5, MSG_WAITALL) == 5 && memcmp(text, "hello", 5) == 0);
  CHECK(pthread_join(thread, NULL) == 0 && close(late) == 0 && close(server) == 0);
}

static void lost(void) {
  struct sockaddr_in address;
  char byte;
  int server = listener(&address);
  int client = client_of(&address);
  CHECK(server >= 0 && client >= 0);
  int peer = accept(server, NULL, NULL);
  // Closed before it was read: the other end hears of it.
  CHECK(write(client, "unread", 6) == 6 && close(peer) == 0);
  CHECK_ERRNO(read(client, &byte, 1), ECONNRESET);
  CHECK(close(client) == 0);
  // Never accepted.
  client = client_of(&address);
  CHECK(client >= 0 && close(server) == 0);
  CHECK_ERRNO(read(client, &byte, 1), ECONNRESET);
  CHECK(close(client) == 0);
}

static void wrong_order(void) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  char byte;
  const int fresh = socket(AF_INET, SOCK_STREAM, 0);
  const int server = listener(&address);
  const int client = client_of(&address);
  CHECK(fresh >= 0 && server >= 0 && client >= 0);
  CHECK_ERRNO(accept(fresh, NULL, NULL), EINVAL);
  CHECK_ERRNO(getpeername(fresh, (struct sockaddr*)&address, &size), ENOTCONN);
  CHECK_ERRNO(recv(fresh, &byte, 1, 0), ENOTCONN);
  CHECK_ERRNO(shutdown(fresh, SHUT_RD), ENOTCONN);
  CHECK_ERRNO(send(fresh, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_ERRNO(connect(client, (struct sockaddr*)&address, sizeof address), EISCONN);
  CHECK_ERRNO(connect(fresh, (struct sockaddr*)&address, 4), EINVAL);
  CHECK_ERRNO(listen(client, 1), EINVAL);
  CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(12345, SOCK_STREAM, 0), EAFNOSUPPORT);
  CHECK_ERRNO(bind(0, (struct sockaddr*)&address, sizeof address), ENOTSOCK);
  CHECK_ERRNO(listen(-1, 1), EBADF);
  address.sin_family = AF_UNIX;
  CHECK_ERRNO(bind(fresh, (struct sockaddr*)&address, sizeof address), EAFNOSUPPORT);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0xc6336401);  // 198.51.100.1, of no machine
  address.sin_port = 0;
  CHECK_ERRNO(bind(fresh, (struct sockaddr*)&address, sizeof address), EADDRNOTAVAIL);
  CHECK(close(fresh) == 0 && close(server) == 0 && close(client) == 0);
}

static void options(void) {
  struct sockaddr_in address;
  int value = -1;
  socklen_t size = sizeof value;
  char byte;
  struct timeval wait = {0, 20000}, seen;
  const int server = listener(&address);
  const int client = client_of(&address);
  CHECK(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value == 1);
  CHECK(getsockopt(client, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value == 0);
  CHECK(getsockopt(client, SOL_SOCKET, SO_TYPE, &value, &size) == 0 && value == SOCK_STREAM);
  CHECK(getsockopt(client, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 && value == AF_INET);
  CHECK(getsockopt(client, SOL_SOCKET, SO_PROTOCOL, &value, &size) == 0 && value == IPPROTO_TCP);
  CHECK(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value == 0);
  value = 1;
  CHECK(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) == 0);
  value = 0;
  CHECK(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value == 1);
  CHECK(setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == 0);
  CHECK_ERRNO(setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, 2), EINVAL);
  CHECK_ERRNO(setsockopt(client, SOL_SOCKET, 9999, &value, sizeof value), ENOPROTOOPT);
  CHECK(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
  size = sizeof seen;
  CHECK(getsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &seen, &size) == 0 && size == sizeof seen);
  CHECK(seen.tv_sec == 0 && seen.tv_usec == 20000);
  CHECK_ERRNO(recv(client, &byte, 1, 0), EAGAIN);
  CHECK(close(client) == 0 && close(server) == 0);
}

static void pieces(void) {
  struct sockaddr_in address;
  char first[4], second[32] = "";
  struct iovec out[2] = {{"one", 3}, {"two-three", 9}};
  struct iovec in[2] = {{first, sizeof first}, {second, sizeof second}};
  struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
  const int server = listener(&address);
  const int client = client_of(&address);
  const int peer = accept(server, NULL, NULL);
  CHECK(peer >= 0 && sendmsg(client, &message, 0) == 12);
  message = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
  CHECK(recvmsg(peer, &message, 0) == 12 && message.msg_flags == 0);
  CHECK(memcmp(first, "onet", 4) == 0 && strcmp(second, "wo-three") == 0);
  CHECK(close(peer) == 0 && close(client) == 0 && close(server) == 0);
}

static void datagrams(void) {
  struct sockaddr_in a_address, b_address, from;
  socklen_t size = sizeof from;
  char text[32] = "";
  struct iovec piece = {text, 4};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  const int a = bound(SOCK_DGRAM, &a_address);
  const int b = bound(SOCK_DGRAM, &b_address);
  CHECK(a >= 0 && b >= 0);
  CHECK(sendto(a, "one", 3, 0, (struct sockaddr*)&b_address, sizeof b_address) == 3);
  CHECK(sendto(a, "second", 6, 0, (struct sockaddr*)&b_address, sizeof b_address) == 6);
  CHECK(recvfrom(b, text, sizeof text, 0, (struct sockaddr*)&from, &size) == 3);
  CHECK(size == sizeof from && from.sin_port == a_address.sin_port);
  CHECK(recvmsg(b, &message, 0) == 4 && message.msg_flags == MSG_TRUNC);
  CHECK_ERRNO(recv(b, text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
  CHECK(connect(a, (struct sockaddr*)&b_address, sizeof b_address) == 0);
  CHECK(send(a, "again", 5, 0) == 5 && recv(b, text, sizeof text, 0) == 5);
  // A connected one hears its peer only.
  const int other = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(sendto(other, "no", 2, 0, (struct sockaddr*)&a_address, sizeof a_address) == 2);
  CHECK_ERRNO(recv(a, text, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(sendto(b, "yes", 3, 0, (struct sockaddr*)&a_address, sizeof a_address) == 3);
  CHECK(recv(a, text, sizeof text, 0) == 3);
  CHECK_ERRNO(listen(b, 1), EOPNOTSUPP);
  CHECK(close(b) == 0);
  // Nobody there: who is not connected does not hear of it.
  CHECK(sendto(other, "gone", 4, 0, (struct sockaddr*)&b_address, sizeof b_address) == 4);
  CHECK(close(a) == 0 && close(other) == 0);
}

static void names_of_files(void) {
  struct sockaddr_un address = named("server"), seen;
  socklen_t size = sizeof seen;
  struct stat info;
  struct {
    int pid;
    unsigned uid, gid;
  } credentials;
  char byte;
  const int server = socket(AF_UNIX, SOCK_STREAM, 0);
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_ERRNO(connect(client, (struct sockaddr*)&address, sizeof address), ENOENT);
  CHECK_ERRNO(listen(server, 1), EINVAL);
  CHECK(bind(server, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(stat(address.sun_path, &info) == 0 && S_ISSOCK(info.st_mode));
  CHECK_ERRNO(open(address.sun_path, O_RDWR), ENXIO);
  CHECK_ERRNO(connect(client, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  CHECK(listen(server, 1) == 0);
  CHECK(connect(client, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(getpeername(client, (struct sockaddr*)&seen, &size) == 0);
  CHECK(strcmp(seen.sun_path, address.sun_path) == 0);
  CHECK(size == offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path) + 1);
  size = sizeof credentials;
  CHECK(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && size == 12);
  size = sizeof seen;
  const int peer = accept(server, (struct sockaddr*)&seen, &size);
  CHECK(peer >= 0 && size == sizeof(sa_family_t));
  CHECK(write(client, "x", 1) == 1 && read(peer, &byte, 1) == 1);
  const int packets = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK_ERRNO(connect(packets, (struct sockaddr*)&address, sizeof address), EPROTOTYPE);
  const int second = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_ERRNO(bind(second, (struct sockaddr*)&address, sizeof address), EADDRINUSE);
  CHECK(close(server) == 0);
  // The name stays, but nobody is there.
  CHECK_ERRNO(connect(second, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  CHECK(unlink(address.sun_path) == 0);
  CHECK(bind(second, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(unlink(address.sun_path) == 0 && close(second) == 0 && close(packets) == 0);
  CHECK(close(peer) == 0 && close(client) == 0);
}

static void abstract_names(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX}, seen;
  socklen_t size = sizeof seen;
  const int server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  const int client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  char text[8];
  // The kernel finds a free name.
  CHECK(bind(server, (struct sockaddr*)&address, sizeof(sa_family_t)) == 0);
  CHECK(getsockname(server, (struct sockaddr*)&seen, &size) == 0);
  CHECK(size == sizeof(sa_family_t) + 6 && seen.sun_path[0] == 0 && listen(server, 2) == 0);
  CHECK(connect(client, (struct sockaddr*)&seen, size) == 0);
  const int peer = accept(server, NULL, NULL);
  CHECK(send(client, "ab", 2, 0) == 2 && send(client, "cde", 3, 0) == 3);
  CHECK(recv(peer, text, sizeof text, 0) == 2 && recv(peer, text, sizeof text, 0) == 3);
  const int second = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  CHECK_ERRNO(bind(second, (struct sockaddr*)&seen, size), EADDRINUSE);
  CHECK(close(server) == 0 && bind(second, (struct sockaddr*)&seen, size) == 0);
  CHECK(close(second) == 0 && close(peer) == 0 && close(client) == 0);
}

static void named_datagrams(void) {
  struct sockaddr_un a_name = named("a"), b_name = named("b"), from;
  socklen_t size = sizeof from;
  char text[8];
  const int a = socket(AF_UNIX, SOCK_DGRAM, 0);
  const int b = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(bind(a, (struct sockaddr*)&a_name, sizeof a_name) == 0);
  CHECK(bind(b, (struct sockaddr*)&b_name, sizeof b_name) == 0);
  CHECK(sendto(a, "hi", 2, 0, (struct sockaddr*)&b_name, sizeof b_name) == 2);
  CHECK(recvfrom(b, text, sizeof text, 0, (struct sockaddr*)&from, &size) == 2);
  CHECK(strcmp(from.sun_path, a_name.sun_path) == 0);
  CHECK(connect(a, (struct sockaddr*)&b_name, sizeof b_name) == 0 && send(a, "x", 1, 0) == 1);
  CHECK(recv(b, text, sizeof text, 0) == 1 && close(b) == 0);
  CHECK_ERRNO(sendto(a, "x", 1, 0, (struct sockaddr*)&b_name, sizeof b_name), ECONNREFUSED);
  CHECK(close(a) == 0);
}

static void both_internets(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6}, seen;
  struct sockaddr_in old;
  socklen_t size = sizeof address;
  const int server = socket(AF_INET6, SOCK_STREAM, 0);
  const int bound_v6 = server < 0 ? -1 : bind(server, (struct sockaddr*)&address, sizeof address);
  if (bound_v6 != 0 && !in_guest()) return;  // a machine without IPv6
  CHECK(bound_v6 == 0 && listen(server, 4) == 0);
  CHECK(getsockname(server, (struct sockaddr*)&address, &size) == 0 && size == sizeof address);
  old = loopback(address.sin6_port);
  const int client = client_of(&old);
  size = sizeof seen;
  const int peer = accept(server, (struct sockaddr*)&seen, &size);
  CHECK(client >= 0 && peer >= 0 && IN6_IS_ADDR_V4MAPPED(&seen.sin6_addr));
  CHECK(close(server) == 0 && close(client) == 0 && close(peer) == 0);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  make_directory(directory);
  RUN(connection);
  RUN(refused);
  RUN(ports_in_use);
  RUN(much);
  RUN(waiting);
  RUN(lost);
  RUN(wrong_order);
  RUN(options);
  RUN(pieces);
  RUN(datagrams);
  RUN(names_of_files);
  RUN(abstract_names);
  RUN(named_datagrams);
  RUN(both_internets);
  return check_done();
}
