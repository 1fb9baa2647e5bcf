// gateway_bench: requests a second through the gateway, over loopback, with a backend that answers
// at once. The gateway runs in a process of its own.
//
//   gateway_bench [REQUESTS]        one connection, then 64, keep-alive; a memory figure
//   gateway_bench --serve PORT      serves until it is killed, e.g. for strace -c and curl
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/proxy/gateway/server.h"

namespace {

using usetl::Fd;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kRequest =
    "POST /function HTTP/1.1\r\nHost: function.default.svc\r\nUser-Agent: bench\r\n"
    "Content-Type: application/json\r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.1\r\n"
    "Content-Length: 16\r\n\r\n{\"name\":\"world\"}";

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Echo : usetl::gateway::Backend {
  void OnBody(uint64_t, std::string_view) override {}
  void OnBodyEnd(uint64_t) override {}
  void Submit(uint64_t id, usetl::gateway::Request request) override {
    server->Answer(id, {200, {{"content-type", "application/json"}}}, request.body.size());
    server->AnswerData(id, request.body);
    server->AnswerEnd(id);
  }
  void Cancel(uint64_t) override {}
  void OnRoom(uint64_t) override {}
  usetl::gateway::Server* server = nullptr;
};

[[noreturn]] void Serve(Fd listener) {
  Echo echo;
  usetl::gateway::Options options;
  auto server = usetl::gateway::Server::Create(options, &echo);
  if (!server.ok()) Die("server");
  echo.server = server->get();
  std::vector<Fd> listeners;
  listeners.push_back(std::move(listener));
  if (!(*server)->Listen(std::move(listeners)).ok()) Die("listen");
  pollfd ready{(*server)->poll_fd(), POLLIN, 0};
  while (poll(&ready, 1, -1) > 0) (*server)->OnReady();
  Die("poll");
}

Fd Bind(sockaddr_in* address) {
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t size = sizeof *address;
  auto* raw = reinterpret_cast<sockaddr*>(address);
  if (bind(listener.get(), raw, size) != 0) Die("bind");
  if (getsockname(listener.get(), raw, &size) != 0) Die("getsockname");
  return listener;
}

Fd Connect(const sockaddr_in& address) {
  for (int attempt = 0; attempt < 1000; ++attempt) {  // the child has to begin to listen
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return client;
    }
    poll(nullptr, 0, 1);
  }
  Die("connect");
}

void Send(int fd) {
  if (send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) != ssize_t(kRequest.size())) {
    Die("send");
  }
}

// An answer fits a segment.
void Receive(int fd) {
  char buffer[2048];
  const ssize_t size = recv(fd, buffer, sizeof buffer, 0);
  if (size < 12 || std::memcmp(buffer, "HTTP/1.1 200", 12) != 0) Die("answer");
}

void Run(const sockaddr_in& address, size_t connections, size_t requests) {
  std::vector<Fd> clients;
  std::vector<Clock::time_point> sent(connections);
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  for (size_t i = 0; i < connections; ++i) {
    clients.push_back(Connect(address));
    epoll_event event{EPOLLIN, {.u64 = i}};
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, clients.back().get(), &event);
  }
  std::vector<double> times;
  times.reserve(requests);
  size_t begun = 0;
  const auto start = Clock::now();
  const auto begin = [&](size_t i) {
    sent[i] = Clock::now();
    Send(clients[i].get());
    ++begun;
  };
  for (size_t i = 0; i < connections; ++i) begin(i);
  while (times.size() < begun) {
    epoll_event events[64];
    const int count = connections == 1 ? 1 : epoll_wait(epoll.get(), events, 64, 10'000);
    if (count <= 0) Die("epoll_wait");
    for (int k = 0; k < count; ++k) {
      const size_t i = connections == 1 ? 0 : events[k].data.u64;
      Receive(clients[i].get());
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - sent[i]).count());
      if (begun < requests) begin(i);
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::sort(times.begin(), times.end());
  std::printf("%3zu connections: %7.0f requests/s, p50 %6.1f us, p99 %6.1f us\n", connections,
              times.size() / seconds, times[times.size() / 2], times[times.size() * 99 / 100]);
}

long PrivateKilobytes(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) Die("smaps_rollup");
  char line[256];
  long total = 0, value = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "Private_Dirty: %ld", &value) == 1) total += value;
  }
  std::fclose(file);
  return total;
}

void MeasureMemory(const sockaddr_in& address, pid_t server) {
  constexpr size_t kConnections = 900;
  const long before = PrivateKilobytes(server);
  std::vector<Fd> clients;
  for (size_t i = 0; i < kConnections; ++i) {
    clients.push_back(Connect(address));
    Send(clients.back().get());
    Receive(clients.back().get());
  }
  std::printf("memory: %ld kB private, %.2f kB more for each of %zu idle connections\n", before,
              double(PrivateKilobytes(server) - before) / kConnections, kConnections);
}

}  // namespace

int main(int argc, char** argv) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (argc == 3 && std::strcmp(argv[1], "--serve") == 0) {
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
    Serve(Bind(&address));
  }
  const size_t requests = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  Fd listener = Bind(&address);
  const pid_t server = fork();
  if (server < 0) Die("fork");
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Serve(std::move(listener));
  }
  listener.Reset();
  Run(address, 1, requests);
  Run(address, 64, requests);
  MeasureMemory(address, server);
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  return 0;
}
