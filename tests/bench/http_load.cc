// http_load: POSTs a small JSON body over and over on connections that stay open, each waiting for
// its answer before it asks again. Prints one JSON object: requests, seconds, latencies_us.
//
//   http_load SECONDS CONNECTIONS ADDRESS:PORT...    so many connections to each of the addresses
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"

namespace {

using usetl::Fd;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kRequest =
    "POST / HTTP/1.1\r\nHost: function\r\nContent-Type: application/json\r\n"
    "Content-Length: 8\r\n\r\n{\"n\": 1}";
constexpr std::string_view kTrue = "true";     // in the body of the right answer
constexpr int kPatienceMilliseconds = 20'000;  // no answer at all for so long is an error

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "http_load: %s\n", what.c_str());
  std::exit(1);
}

[[noreturn]] void DieErrno(const std::string& what) {
  std::perror(("http_load: " + what).c_str());
  std::exit(1);
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct Connection {
  Fd fd;
  std::string received;
  Clock::time_point sent;
};

Fd Connect(std::string_view target) {
  const size_t colon = target.find(':');
  const auto port = ParseNumber<uint16_t>(target.substr(std::min(colon, target.size() - 1) + 1));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!port ||
      inet_pton(AF_INET, std::string(target.substr(0, colon)).c_str(), &address.sin_addr) != 1) {
    Die("not ADDRESS:PORT: " + std::string(target));
  }
  address.sin_port = htons(*port);
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.ok()) DieErrno("socket");
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    DieErrno("connect to " + std::string(target));
  }
  return fd;
}

void Send(Connection& connection) {
  connection.received.clear();
  connection.sent = Clock::now();
  if (send(connection.fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(kRequest.size())) {
    DieErrno("send");
  }
}

// The body's length, as the head says; both sides of the comparison do.
size_t ContentLength(std::string_view head) {
  constexpr std::string_view kName = "content-length:";
  for (size_t at = head.find("\r\n"); at != std::string_view::npos;
       at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.size() < kName.size() || strncasecmp(line.data(), kName.data(), kName.size()) != 0) {
      continue;
    }
    line.remove_prefix(std::min(line.find_first_not_of(' ', kName.size()), line.size()));
    if (const auto length = ParseNumber<size_t>(line)) return *length;
  }
  Die("no content-length in the answer: " + std::string(head));
}

// Reads what is there; whether the answer is whole. Dies when it is not the right one.
bool Receive(Connection& connection) {
  char buffer[4096];
  const ssize_t size = recv(connection.fd.get(), buffer, sizeof buffer, 0);
  if (size < 0) DieErrno("recv");
  if (size == 0) Die("a connection was closed");
  connection.received.append(buffer, static_cast<size_t>(size));
  const std::string_view answer = connection.received;
  const size_t end = answer.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view body = answer.substr(end + 4);
  if (body.size() < ContentLength(answer.substr(0, end))) return false;
  if (!answer.starts_with("HTTP/1.1 200") || body.find(kTrue) == std::string_view::npos) {
    Die("unexpected answer: " + connection.received);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto wanted = argc > 3 ? ParseNumber<double>(argv[1]) : std::nullopt;
  const auto each = argc > 3 ? ParseNumber<size_t>(argv[2]) : std::nullopt;
  if (!wanted || !each || *each == 0) Die("usage: http_load SECONDS CONNECTIONS ADDRESS:PORT...");
  std::vector<Connection> connections;
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.ok()) DieErrno("epoll_create1");
  for (int i = 3; i < argc; ++i) {
    for (size_t k = 0; k < *each; ++k) {
      connections.push_back({Connect(argv[i]), {}, {}});
      epoll_event event{EPOLLIN, {.u64 = connections.size() - 1}};
      if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connections.back().fd.get(), &event) != 0) {
        DieErrno("epoll_ctl");
      }
    }
  }
  std::vector<double> latencies;
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*wanted));
  for (Connection& connection : connections) Send(connection);
  size_t waiting = connections.size();
  auto now = begin;
  while (waiting > 0) {
    epoll_event events[64];
    const int count = epoll_wait(epoll.get(), events, 64, kPatienceMilliseconds);
    if (count < 0) DieErrno("epoll_wait");
    if (count == 0) Die("no answer");
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections[events[i].data.u64];
      if (!Receive(connection)) continue;
      now = Clock::now();
      latencies.push_back(std::chrono::duration<double, std::micro>(now - connection.sent).count());
      if (now < end) {
        Send(connection);
      } else {
        --waiting;
      }
    }
  }
  std::printf("{\"requests\": %zu, \"seconds\": %.6f, \"latencies_us\": [", latencies.size(),
              std::chrono::duration<double>(now - begin).count());
  for (size_t i = 0; i < latencies.size(); ++i) std::printf("%s%.1f", i ? "," : "", latencies[i]);
  std::puts("]}");
}
