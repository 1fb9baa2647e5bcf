#include "vmm/proxy/gateway/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "vmm/proxy/gateway/connection.h"

namespace usetl::gateway {

Result<std::unique_ptr<Server>> Server::Create(Limits limits, Backend backend) {
  std::unique_ptr<Server> server(new Server(limits, std::move(backend)));
  server->epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_.ok()) return Status::Errno("epoll_create1");
  return server;
}

Server::~Server() {
  for (auto& [fd, connection] : connections_) connection->Abort();
}

Status Server::Listen(std::span<const Fd> sockets) {
  for (const Fd& socket : sockets) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = socket.get()}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
      return Status::Errno("watching a port");
    }
    listeners_.push_back(socket.get());
  }
  return Status();
}

void Server::StopListening() {
  for (const int listener : listeners_) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener, nullptr);
  }
  listeners_.clear();
  draining_ = true;
  std::vector<int> idle;
  for (const auto& [fd, connection] : connections_) {
    if (connection->idle()) idle.push_back(fd);
  }
  for (const int fd : idle) Close(fd);
}

void Server::OnReady() {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, std::size(events), 0);
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (std::ranges::find(listeners_, fd) != listeners_.end()) {
      Accept(fd);
      continue;
    }
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;
    const std::shared_ptr<Connection> connection = found->second;  // it may close itself
    if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) {
      Close(fd);
      continue;
    }
    if ((events[i].events & EPOLLOUT) != 0) connection->OnWritable();
    if ((events[i].events & (EPOLLIN | EPOLLRDHUP)) != 0) connection->OnReadable();
  }
  Turn();
}

void Server::Accept(int listener) {
  constexpr int kAtOnce = 64;
  for (int i = 0; i < kAtOnce; ++i) {
    Fd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.ok()) return;  // none waits, or it left, or no descriptor is free: level-triggered
    if (connections_.size() >= limits_.connections) {
      constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
      (void)!send(fd.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      continue;
    }
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = fd.get()}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) continue;
    const int number = fd.get();
    auto connection = std::make_shared<Connection>(this, std::move(fd));
    next_check_ = std::min(next_check_, connection->deadline());
    connections_.emplace(number, connection);
    // Most clients send at once: their request is here already.
    connection->OnReadable();
  }
}

void Server::Watch(Connection* connection, bool write) {
  epoll_event event{.events = 0, .data = {.fd = connection->fd()}};
  if (!connection->ended()) event.events |= EPOLLRDHUP;
  if (connection->wants_input()) event.events |= EPOLLIN;
  if (write) event.events |= EPOLLOUT;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection->fd(), &event);
}

void Server::Close(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = found->second;
  connections_.erase(found);
  connection->Abort();
}

void Server::Turn() {
  while (!turn_.empty()) {
    const std::vector<std::weak_ptr<Connection>> now = std::exchange(turn_, {});
    for (const std::weak_ptr<Connection>& weak : now) {
      if (const std::shared_ptr<Connection> connection = weak.lock()) connection->GoOn();
    }
  }
}

bool Server::Congested() const {
  return std::ranges::any_of(connections_, [this](const auto& item) {
    return item.second->unsent() > limits_.unsent_bytes;
  });
}

std::optional<Server::Clock::time_point> Server::deadline() const {
  if (connections_.empty()) return std::nullopt;
  return next_check_;
}

void Server::CheckDeadlines() {
  const auto now = Clock::now();
  if (now < next_check_) return;
  next_check_ = Clock::time_point::max();
  std::vector<std::shared_ptr<Connection>> late;
  for (const auto& [fd, connection] : connections_) {
    if (connection->deadline() <= now) {
      late.push_back(connection);
    } else {
      next_check_ = std::min(next_check_, connection->deadline());
    }
  }
  for (const std::shared_ptr<Connection>& connection : late) connection->OnDeadline();
}

}  // namespace usetl::gateway
