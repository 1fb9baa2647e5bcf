#include "vmm/vmmd/metrics_port.h"

#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "vmm/base/numeric_address.h"

namespace usetl {
namespace {

// What has come is gone. How much it was; 0: nothing will come any more; none: nothing has yet.
std::optional<size_t> Discard(const Fd& socket) {
  constexpr size_t kPiece = 64 << 10;
  // With MSG_TRUNC nothing of a TCP stream is copied. Once: who sends for ever does not keep us.
  const ssize_t n = recv(socket.get(), nullptr, kPiece, MSG_TRUNC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return n > 0 ? n : 0;
}

bool Answer(const Fd& socket, const std::string& body) {
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
  // A few kB: they fit into the buffer of a socket that has sent nothing yet.
  const ssize_t sent = send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(answer.size()) && shutdown(socket.get(), SHUT_WR) == 0;
}

}  // namespace

Result<MetricsPort> MetricsPort::Open(const std::string& address,
                                      std::function<Status(int fd)> watch,
                                      std::function<std::string()> text,
                                      std::function<Clock::time_point()> now) {
  const Result<NumericAddress> parsed = ParseNumericAddress("--metrics", address);
  if (!parsed.ok()) return parsed.status();
  const auto failed = [&] {
    return Status(EADDRNOTAVAIL, Status::Errno("cannot serve metrics at " + address).message());
  };
  MetricsPort port;
  port.watch_ = std::move(watch);
  port.text_ = std::move(text);
  port.now_ = std::move(now);
  constexpr int kType = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  port.listener_ = Fd(socket(parsed->storage.ss_family, kType, 0));
  if (!port.listener_.ok()) return failed();
  const int listener = port.listener_.get(), yes = 1;
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size) != 0 ||
      listen(listener, kMostClients) != 0) {
    return failed();
  }
  USETL_RETURN_IF_ERROR(port.watch_(listener));
  return port;
}

bool MetricsPort::Owns(int fd) const {
  return fd == listener_.get() ||
         std::ranges::any_of(clients_, [&](const Client& it) { return it.socket.get() == fd; });
}

Status MetricsPort::OnReadable(int fd) {
  if (fd == listener_.get()) return Accept();
  const auto client =
      std::ranges::find_if(clients_, [&](const Client& it) { return it.socket.get() == fd; });
  if (client == clients_.end()) return Status();
  const std::optional<size_t> came = Discard(client->socket);
  if (!came) return Status();
  if (client->answered) client->behind += *came;
  bool goes_on = *came > 0 && client->behind <= kMostBehind;
  // Not before he asks: some clients take an answer to nothing for an error. And what he sends
  // behind it is waited for, or the kernel would reset the connection under the answer.
  if (goes_on && !client->answered) {
    client->answered = true;
    goes_on = Answer(client->socket, text_());
  }
  if (!goes_on) clients_.erase(client);
  return Status();
}

Status MetricsPort::Accept() {
  Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.ok()) {
    const bool passes = errno == EINTR || errno == EAGAIN || errno == ECONNABORTED;
    return passes ? Status() : Status::Errno("accept, of metrics");
  }
  if (clients_.size() >= kMostClients && !MakeRoom()) return Status();
  if (!watch_(socket.get()).ok()) return Status();
  clients_.push_back({.socket = std::move(socket), .since = now_()});
  return Status();
}

bool MetricsPort::MakeRoom() {
  auto least = std::ranges::find_if(clients_, &Client::answered);
  if (least == clients_.end()) {
    if (now_() - clients_.front().since < kPatience) return false;
    least = clients_.begin();
  }
  clients_.erase(least);
  return true;
}

}  // namespace usetl
