#include "cri/streaming/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <climits>
#include <system_error>

#include "cri/streaming/forward_session.h"
#include "cri/streaming/loopback_listener.h"
#include "cri/streaming/process_session.h"
#include "cri/streaming/spdy_mux.h"
#include "cri/streaming/websocket_mux.h"

namespace usetl::cri::streaming {
namespace {

using Clock = std::chrono::steady_clock;

// "/KIND/TOKEN"; empty when it is none.
std::string TokenOf(const std::string& path, std::string* kind) {
  const size_t slash = path.find('/', 1);
  if (path.empty() || path[0] != '/' || slash == std::string::npos) return "";
  *kind = path.substr(1, slash - 1);
  return path.substr(slash + 1);
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const std::string& address, Backend backend,
                                              std::function<void(const std::string&)> log,
                                              const Timers& timers) {
  Result<LoopbackListener> listener = ListenOnLoopback(address);
  if (!listener.ok()) return listener.status();
  std::unique_ptr<Server> server(new Server(std::move(backend), std::move(log), timers));
  server->listener_ = std::move(listener->socket);
  server->base_url_ = "http://" + listener->address;
  server->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!server->stop_.ok()) return Status::Errno("eventfd");
  server->accept_ = std::thread([raw = server.get()] { raw->Accept(); });
  return server;
}

Server::~Server() {
  if (!accept_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  accept_.join();
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return threads_ == 0; });
}

Result<std::string> Server::Expect(StreamRequest request) {
  const std::string_view kind = NameOf(request.kind);
  Result<std::string> token = tokens_.Add(std::move(request));
  if (!token.ok()) return token.status();
  return base_url_ + "/" + std::string(kind) + "/" + *token;
}

bool Server::CountIn(int* count, int most) {
  const std::lock_guard lock(mutex_);
  if (*count >= most) return false;
  ++*count;
  return true;
}

void Server::CountOut(int* count) {
  const std::lock_guard lock(mutex_);
  --*count;
  ended_.notify_all();
}

void Server::Accept() {
  for (;;) {
    pollfd fds[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) {
      log_(Status::Errno("streaming server: poll").message());
      return;
    }
    if (fds[1].revents != 0) return;
    Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.ok()) {
      if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) continue;
      poll(&fds[1], 1, 100);  // it stays readable: not around and around
      continue;
    }
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (!CountIn(&handshakes_, kMaxHandshakes)) continue;  // closed
    (void)CountIn(&threads_, INT_MAX);                     // the others bound them
    try {
      std::thread([this, connection = std::move(socket)]() mutable {
        Serve(std::move(connection));
        CountOut(&threads_);
      }).detach();
    } catch (const std::system_error& error) {
      log_(std::string("streaming server: no thread for a client: ") + error.what());
      CountOut(&handshakes_);
      CountOut(&threads_);
    }
  }
}

Result<std::string> Server::ReadHead(int socket, std::string* rest) {
  const Clock::time_point due = Clock::now() + timers_.request;
  std::string text;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(due - Clock::now());
    if (left.count() <= 0) return Status(ETIMEDOUT, "no request came in time");
    pollfd fds[] = {{socket, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(fds, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) {
      return Status::Errno("poll");
    }
    if (fds[1].revents != 0) return Status(ECANCELED, "the server ends");
    if (fds[0].revents == 0) continue;
    char bytes[4096];
    const ssize_t size = recv(socket, bytes, sizeof bytes, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size <= 0) return Status(ECONNRESET, "the client left before its request");
    const size_t from = text.size() < 3 ? 0 : text.size() - 3;
    text.append(bytes, static_cast<size_t>(size));
    const size_t end = text.find("\r\n\r\n", from);
    if (end != std::string::npos) {
      *rest = text.substr(end + 4);
      return text.substr(0, end + 4);
    }
    if (text.size() > kMaxRequestHead) return std::string();
  }
}

void Server::Serve(Fd socket) {
  std::string early;
  Handshake handshake;
  std::optional<StreamRequest> request;
  const Result<std::string> head = ReadHead(socket.get(), &early);
  if (head.ok()) {
    handshake = Greet(*head, &request);
    if (handshake.transport == Handshake::Transport::kRefused) {
      CloseGently(socket, handshake.response, stop_.get(), timers_.linger);
    }
  }
  CountOut(&handshakes_);
  if (handshake.transport == Handshake::Transport::kRefused) return;
  const Status status = RunSession(std::move(socket), *request, handshake, early);
  CountOut(&sessions_);
  if (!status.ok()) {
    log_(std::string(NameOf(request->kind)) + " of " + request->id + ": " + status.message());
  }
}

Handshake Server::Greet(const std::string& text, std::optional<StreamRequest>* request) {
  const auto refuse = [](int code, std::string_view reason, std::string_view why) {
    return Handshake{Handshake::Transport::kRefused, false, HttpError(code, reason, why)};
  };
  const Result<HttpHead> head = ParseHead(text);
  if (!head.ok()) return refuse(400, "Bad Request", head.status().message());
  if (!CountIn(&sessions_, kMaxSessions)) {
    return refuse(503, "Service Unavailable", "too many streams are open");
  }
  std::string kind;
  *request = tokens_.Take(TokenOf(head->path, &kind));
  Handshake handshake;
  if (!*request || kind != NameOf((*request)->kind)) {
    handshake = refuse(404, "Not Found", "nothing waits at this address (any more)");
  } else {
    handshake = Negotiate(*head, (*request)->kind);
    if (handshake.transport == Handshake::Transport::kChannels && (*request)->ports.empty() &&
        (*request)->kind == StreamRequest::Kind::kPortForward) {
      handshake = refuse(400, "Bad Request", "this protocol wants ports in the request");
    }
  }
  if (handshake.transport == Handshake::Transport::kRefused) CountOut(&sessions_);
  return handshake;
}

Status Server::RunSession(Fd socket, const StreamRequest& request, const Handshake& handshake,
                          std::string_view early) {
  using Transport = Handshake::Transport;
  const bool forward = request.kind == StreamRequest::Kind::kPortForward;
  const bool channels = handshake.transport == Transport::kChannels;
  std::unique_ptr<Mux> mux;
  if (handshake.transport == Transport::kSpdy) {
    mux = std::make_unique<SpdyMux>();
  } else if (handshake.transport == Transport::kTunnel) {
    mux = std::make_unique<TunnelMux>();
  } else {
    mux = std::make_unique<ChannelMux>(
        forward ? ChannelsFor(request.ports) : ChannelsFor(request.process), handshake.signals);
  }
  if (forward) {
    ForwardSession session(
        std::move(mux), stop_.get(), timers_,
        [&](int family) { return backend_.open_socket(request.id, family); }, channels);
    return session.Run(std::move(socket), handshake.response, early);
  }
  ProcessSession session(
      std::move(mux), stop_.get(), timers_, request.process,
      [&](const ProcessRequest& process) { return backend_.launch(request.id, process); });
  return session.Run(std::move(socket), handshake.response, early);
}

}  // namespace usetl::cri::streaming
