#include "vmm/proxy/gateway/core.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <cstdio>

#include "vmm/proxy/gateway/connection.h"

namespace usetl::gateway {
namespace {

constexpr int kEventsAtOnce = 64;
constexpr int kAcceptsAtOnce = 64;
constexpr uint64_t kBodyWindow = 64 << 10;
// Accepting goes on after this when there was no descriptor or memory left.
constexpr uint64_t kAcceptPauseNs = 100'000'000;
constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

Endpoint AsEndpoint(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    return {text, ntohs(in.sin_port)};
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
    inet_ntop(AF_INET, in6.sin6_addr.s6_addr + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
  }
  return {text, ntohs(in6.sin6_port)};
}

std::string NameOf(const Fd& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "port";
  return "port " + std::to_string(AsEndpoint(address).port);
}

}  // namespace

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Core::Core(const Options& options, Backend* backend, Fd epoll, Fd timer, Fd wake, uint64_t seed)
    : options_(options),
      backend_(backend),
      epoll_(std::move(epoll)),
      timer_(std::move(timer)),
      wake_(std::move(wake)),
      id_state_(seed) {}

Core::~Core() {
  // They give back what is charged to them.
  connections_.clear();
}

Result<std::unique_ptr<Core>> Core::Create(const Options& options, Backend* backend) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.ok() || !timer.ok() || !wake.ok()) return Status::Errno("descriptors of the gateway");
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) return Status::Errno("getrandom");
  std::unique_ptr<Core> core(
      new Core(options, backend, std::move(epoll), std::move(timer), std::move(wake), seed));
  USETL_RETURN_IF_ERROR(core->Watch(core->timer_.get(), EPOLLIN, &core->timer_));
  USETL_RETURN_IF_ERROR(core->Watch(core->wake_.get(), EPOLLIN, &core->wake_));
  return core;
}

Status Core::Watch(int fd, uint32_t events, void* data) {
  epoll_event event{events, {.ptr = data}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Status::Errno("epoll_ctl");
  return Status();
}

Status Core::Listen(std::vector<Fd> sockets) {
  if (!listeners_.empty()) return Status(EBUSY, "the gateway listens already");
  for (const Fd& socket : sockets) {
    // EADDRINUSE: somebody who was bound to it as well, which SO_REUSEADDR allows, listened first.
    if (listen(socket.get(), SOMAXCONN) != 0) return Status::Errno(NameOf(socket));
  }
  listeners_ = std::move(sockets);
  listening_ = true;
  for (Fd& socket : listeners_) {
    USETL_RETURN_IF_ERROR(Watch(socket.get(), EPOLLIN, &socket));
  }
  return Status();
}

void Core::StopListening() {
  for (Fd& socket : listeners_) socket.Reset();
  listening_ = false;
}

void Core::PauseListening() {
  // Errors are of sockets that are not watched now, which is what is wanted.
  for (const Fd& socket : listeners_) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
  }
  listening_paused_ = true;
  NoteDeadline(NowNs() + kAcceptPauseNs);
}

void Core::Accept(int listener) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    sockaddr_storage peer{}, own{};
    socklen_t size = sizeof peer;
    Fd socket(
        accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.ok()) {
      if (errno == EAGAIN) return;
      // A client that left while it waited.
      if (errno == ECONNABORTED || errno == EPROTO || errno == EINTR) continue;
      return PauseListening();
    }
    ++counters_.connections;
    if (connections_.size() >= options_.max_connections) {
      ++counters_.connections_refused;
      // It fits any socket's buffer; a client that it does not reach sees the end all the same.
      (void)send(socket.get(), kTooMany.data(), kTooMany.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      continue;
    }
    size = sizeof own;
    const bool known = getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0;
    const int on = 1;
    // Only speed is lost when that fails, as it does for sockets that are no TCP.
    (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const Status adopted =
        Adopt(std::move(socket), AsEndpoint(peer), known ? AsEndpoint(own) : Endpoint());
    if (!adopted.ok()) ++counters_.connections_refused;
  }
}

Status Core::Adopt(Fd socket, Endpoint client, Endpoint server) {
  const int fd = socket.get();
  auto connection =
      std::make_unique<Connection>(this, std::move(socket), std::move(client), std::move(server));
  // Edges: one call per connection, none per request.
  USETL_RETURN_IF_ERROR(Watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, connection.get()));
  connection->index = connections_.size();
  NoteDeadline(connection->Deadline());
  connections_.push_back(std::move(connection));
  counters_.open = connections_.size();
  return Status();
}

void Core::OnReady() {
  in_ready_ = true;
  epoll_event events[kEventsAtOnce];
  const int count = epoll_wait(epoll_.get(), events, kEventsAtOnce, 0);
  bool timer = false;
  for (int i = 0; i < count; ++i) {
    void* const data = events[i].data.ptr;
    if (data == &timer_) {
      timer = true;
    } else if (data == &wake_) {
      uint64_t value;
      if (read(wake_.get(), &value, sizeof value) > 0) woken_ = false;
    } else if (!listeners_.empty() && data >= listeners_.data() &&
               data < listeners_.data() + listeners_.size()) {
      if (listening_) Accept(static_cast<Fd*>(data)->get());
    } else {
      auto* connection = static_cast<Connection*>(data);
      connection->OnEvents(events[i].events);
      NoteDeadline(connection->Deadline());
    }
  }
  if (timer) OnTimer();
  RunDeferred();
  in_ready_ = false;
  if (deferred_.empty() || woken_) return;
  const uint64_t one = 1;
  woken_ = write(wake_.get(), &one, sizeof one) > 0;
}

void Core::RunDeferred() {
  // What is deferred meanwhile has its turn after the others' next events.
  std::vector<Connection*> now;
  now.swap(deferred_);
  for (Connection* connection : now) {
    connection->deferred = false;
    connection->Resume();
    if (!connection->dead()) NoteDeadline(connection->Deadline());
  }
  for (Connection* connection : now) {
    if (!connection->dead()) continue;
    connection->protocol().CancelAll();
    const size_t index = connection->index;
    deferred_.erase(std::remove(deferred_.begin(), deferred_.end(), connection), deferred_.end());
    connections_[index].swap(connections_.back());
    connections_[index]->index = index;
    connections_.pop_back();
  }
  counters_.open = connections_.size();
  // The list's memory is used again.
  now.clear();
  if (deferred_.empty()) deferred_.swap(now);
}

void Core::Defer(Connection* connection) {
  if (connection->deferred) return;
  connection->deferred = true;
  deferred_.push_back(connection);
  if (in_ready_ || woken_) return;
  const uint64_t one = 1;
  woken_ = write(wake_.get(), &one, sizeof one) > 0;
}

void Core::NoteDeadline(uint64_t at) {
  if (at >= armed_) return;
  armed_ = at;
  // Not at 0, which would stop the timer.
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>((at + 1) / 1'000'000'000);
  spec.it_value.tv_nsec = static_cast<long>((at + 1) % 1'000'000'000);
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Core::OnTimer() {
  uint64_t expirations;
  // It may have been set anew since; then there is nothing to read and all is checked once more.
  (void)!read(timer_.get(), &expirations, sizeof expirations);
  armed_ = kNever;
  const uint64_t now = NowNs();
  if (listening_paused_ && listening_) {
    listening_paused_ = false;
    for (Fd& socket : listeners_) {
      if (!Watch(socket.get(), EPOLLIN, &socket).ok()) PauseListening();
    }
  }
  const bool over = drain_until_ <= now;
  if (!over) NoteDeadline(drain_until_);
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = *connections_[i];
    connection.CheckDeadline(now);
    if (over) connection.Break();
    if (!connection.dead()) NoteDeadline(std::max(connection.Deadline(), now + 1'000'000));
  }
}

void Core::Drain(uint64_t until) {
  StopListening();
  drain_until_ = until;
  NoteDeadline(until);
  for (const auto& connection : connections_) {
    if (!connection->dead()) connection->protocol().Drain();
  }
}

uint64_t Core::Open(Connection* connection, uint32_t stream, uint64_t charged) {
  uint32_t slot = 0;
  if (free_tickets_.empty()) {
    slot = static_cast<uint32_t>(tickets_.size());
    tickets_.emplace_back();
  } else {
    slot = free_tickets_.back();
    free_tickets_.pop_back();
  }
  Ticket& ticket = tickets_[slot];
  ticket = {connection, stream, ticket.generation + 1, NowNs(), charged};
  ++counters_.requests;
  ++counters_.in_flight;
  return uint64_t{ticket.generation} << 32 | slot;
}

void Core::Submit(uint64_t id, Request request) {
  if (request.body_follows) Find(id)->held = request.body.size();
  backend_->Submit(id, std::move(request));
}

bool Core::Body(uint64_t id, std::string_view bytes) {
  Ticket* const ticket = Find(id);
  if (ticket == nullptr) return true;  // answered meanwhile
  if (!Charge(bytes.size())) return false;
  ticket->charged += bytes.size();
  ticket->held += bytes.size();
  backend_->OnBody(id, bytes);
  return true;
}

void Core::BodyEnd(uint64_t id) {
  if (Find(id) != nullptr) backend_->OnBodyEnd(id);
}

void Core::BodyTaken(uint64_t id, uint64_t bytes) {
  Ticket* const ticket = Find(id);
  if (ticket == nullptr) return;
  bytes = std::min(bytes, ticket->held);
  const bool waited = BodyWaits(id);
  Release(bytes);
  ticket->charged -= bytes;
  ticket->held -= bytes;
  ticket->connection->protocol().OnBodyTaken(ticket->stream, bytes, waited);
  Defer(ticket->connection);
}

bool Core::BodyWaits(uint64_t id) {
  const Ticket* const ticket = Find(id);
  return ticket != nullptr && ticket->held >= kBodyWindow;
}

Ticket* Core::Find(uint64_t id) {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= tickets_.size()) return nullptr;
  Ticket& ticket = tickets_[slot];
  const bool same = ticket.connection != nullptr && ticket.generation == id >> 32;
  return same ? &ticket : nullptr;
}

void Core::Finish(uint64_t id, int status) {
  Ticket* ticket = Find(id);
  if (ticket == nullptr) return;
  counters_.Finished(status, (NowNs() - ticket->begun) / 1000);
  Release(ticket->charged);
  ticket->connection = nullptr;
  free_tickets_.push_back(static_cast<uint32_t>(id));
}

void Core::Cancel(uint64_t id) {
  if (Find(id) == nullptr) return;
  ++counters_.cancelled;
  Finish(id, 0);
  backend_->Cancel(id);
}

void Core::Room(uint64_t id) {
  Ticket* ticket = Find(id);
  if (ticket == nullptr || !ticket->waits) return;
  ticket->waits = false;
  backend_->OnRoom(id);
}

bool Core::Charge(uint64_t bytes) {
  uint64_t& held = counters_.buffered;
  if (bytes > options_.max_buffered - std::min(held, options_.max_buffered)) return false;
  held += bytes;
  return true;
}

std::string Core::NewRequestId() {
  // splitmix64: unlike any other of this gateway, and of others by the seed. Not a secret.
  uint64_t z = id_state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  z ^= z >> 31;
  std::string text(16, '0');
  for (char& c : text) {
    c = "0123456789abcdef"[z & 15];
    z >>= 4;
  }
  return text;
}

std::string_view Core::Date() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != date_second_) {
    date_second_ = now.tv_sec;
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    strftime(date_, sizeof date_, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return date_;
}

}  // namespace usetl::gateway
