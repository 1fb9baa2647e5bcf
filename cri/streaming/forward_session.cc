#include "cri/streaming/forward_session.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace usetl::cri::streaming {
namespace {

constexpr size_t kMaxPendingInAll = 1 << 20;
constexpr int kFamilies[] = {AF_INET, AF_INET6};  // 127.0.0.1, then [::1]

std::optional<uint16_t> PortOf(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// 0, or the errno.
int ConnectToLoopback(int socket, int family, uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  const int result = family == AF_INET
                         ? connect(socket, reinterpret_cast<sockaddr*>(&v4), sizeof v4)
                         : connect(socket, reinterpret_cast<sockaddr*>(&v6), sizeof v6);
  return result == 0 ? 0 : errno;
}

}  // namespace

std::vector<Channel> ChannelsFor(const std::vector<uint16_t>& ports) {
  std::vector<Channel> channels;
  for (size_t i = 0; i < ports.size(); ++i) {
    Channel channel;
    channel.open = channel.readable = channel.greet = true;
    // Little-endian, as the protocol has it.
    channel.greeting = {static_cast<char>(ports[i] & 0xff), static_cast<char>(ports[i] >> 8)};
    channel.headers = {{std::string(kStreamType), "data"},
                       {std::string(kPort), std::to_string(ports[i])},
                       {std::string(kRequestId), std::to_string(i)}};
    channels.push_back(channel);
    channel.readable = false;
    channel.headers[std::string(kStreamType)] = "error";
    channels.push_back(channel);
  }
  return channels;
}

Status ForwardSession::OnOpen(uint32_t stream, const Headers& headers) {
  const auto value = [&headers](std::string_view name) -> std::string {
    const auto header = headers.find(name);
    return header == headers.end() ? "" : header->second;
  };
  const std::string type = value(kStreamType), request = value(kRequestId);
  const std::optional<uint16_t> port = PortOf(value(kPort));
  if (!port || request.empty() || (type != "data" && type != "error")) {
    mux().Reset(stream);
    return Status();
  }
  const auto pair = pairs_.try_emplace(request).first;
  auto& place = type == "data" ? pair->second.data : pair->second.error;
  if (place || (pair->second.port != 0 && pair->second.port != *port)) {
    mux().Reset(stream);
    return Status();
  }
  place = stream;
  pair->second.port = *port;
  requests_[stream] = request;
  return Status();
}

ForwardSession::Pairs::iterator ForwardSession::Find(uint32_t stream) {
  const auto request = requests_.find(stream);
  return request == requests_.end() ? pairs_.end() : pairs_.find(request->second);
}

ForwardSession::Pairs::iterator ForwardSession::FindData(uint32_t stream) {
  const auto pair = Find(stream);
  return pair != pairs_.end() && pair->second.data == stream ? pair : pairs_.end();
}

Status ForwardSession::OnData(uint32_t stream, std::string_view data) {
  const auto pair = FindData(stream);
  if (pair == pairs_.end() || pair->second.input_shut) {
    mux().Consumed(stream, data.size());
  } else {
    pair->second.input.Push(data);
  }
  return Status();
}

Status ForwardSession::OnEnd(uint32_t stream) {
  const auto pair = FindData(stream);
  if (pair != pairs_.end()) pair->second.input.End();
  return Status();
}

void ForwardSession::OnReset(uint32_t stream) {
  const auto pair = Find(stream);
  if (pair != pairs_.end()) Finish(pair, "");
}

std::optional<Session::Clock::time_point> ForwardSession::incomplete_since() const {
  std::optional<Clock::time_point> since;
  for (const auto& [request, pair] : pairs_) {
    if (pair.data && pair.error) continue;
    if (!since || pair.created < *since) since = pair.created;
  }
  return since;
}

bool ForwardSession::congested() const {
  size_t pending = 0;
  for (const auto& [request, pair] : pairs_) {
    if (pair.input.size() >= kMaxPending) return true;
    pending += pair.input.size();
  }
  return pending >= kMaxPendingInAll;
}

Status ForwardSession::Advance() {
  for (auto pair = pairs_.begin(); pair != pairs_.end();) {
    const auto at = pair++;  // the pair may go
    Pair& it = at->second;
    if (!it.data || !it.error) continue;
    if (!it.socket.ok()) {
      Connect(at);
    } else if (it.connected && it.input.drained() && !it.input_shut) {
      it.input_shut = true;
      shutdown(it.socket.get(), SHUT_WR);
      FinishIfOver(at);
    }
  }
  return Status();
}

void ForwardSession::Connect(Pairs::iterator at) {
  Pair& pair = at->second;
  while (pair.tried < std::size(kFamilies)) {
    const int family = kFamilies[pair.tried++];
    Result<Fd> socket = open_socket_(family);
    std::string failure = socket.status().message();
    if (socket.ok()) {
      const Status nonblocking = SetNonblocking(socket->get());
      failure = nonblocking.message();
      const int error =
          nonblocking.ok() ? ConnectToLoopback(socket->get(), family, pair.port) : EINVAL;
      if (nonblocking.ok() && (error == 0 || error == EINPROGRESS)) {
        pair.socket = std::move(*socket);
        pair.connected = error == 0;
        return;
      }
      if (nonblocking.ok()) failure = std::strerror(error);
    }
    if (pair.failure.empty()) pair.failure = failure;
  }
  Finish(at, "connecting to port " + std::to_string(pair.port) + " of the pod: " + pair.failure);
}

void ForwardSession::OnConnected(uint32_t data) {
  const auto at = FindData(data);
  if (at == pairs_.end() || at->second.connected) return;
  Pair& pair = at->second;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(pair.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) {
    pair.connected = true;
    return;
  }
  if (pair.failure.empty()) pair.failure = std::strerror(error);
  pair.socket.Reset();
  Connect(at);  // at the next address
}

void ForwardSession::Watch(Poller* poller, bool room) {
  for (const auto& [request, pair] : pairs_) {
    if (!pair.socket.ok()) continue;
    const uint32_t data = *pair.data;
    if (!pair.connected) {
      poller->Watch(pair.socket.get(), POLLOUT, [this, data] {
        OnConnected(data);
        return Status();
      });
      continue;
    }
    const bool output = !pair.output_ended && room && mux().Room(data) > 0;
    const bool input = pair.input.size() > 0;
    if (!output && !input) continue;
    const auto events = static_cast<short>((output ? POLLIN : 0) | (input ? POLLOUT : 0));
    poller->Watch(pair.socket.get(), events, [this, data, output, input] {
      if (input) PumpInput(data);
      if (output) PumpOutput(data);
      return Status();
    });
  }
}

void ForwardSession::PumpInput(uint32_t data) {
  const auto at = FindData(data);
  if (at == pairs_.end()) return;
  const Result<size_t> taken = at->second.input.Flush(at->second.socket.get());
  if (taken.ok()) {
    mux().Consumed(data, *taken);
    return;
  }
  // The pod takes no more; what it has said may still be read.
  at->second.input_shut = true;
  mux().Consumed(data, at->second.input.Drop());
  FinishIfOver(at);
}

void ForwardSession::PumpOutput(uint32_t data) {
  const auto at = FindData(data);
  if (at == pairs_.end()) return;
  const Result<std::string> part = ReadSome(at->second.socket.get(), mux().Room(data));
  if (!part.ok()) {
    if (part.status().code() == EAGAIN || part.status().code() == EINTR) return;
    Finish(at, "the pod ended the connection: " + part.status().message());
    return;
  }
  if (!part->empty()) {
    mux().Send(data, *part);
    return;
  }
  at->second.output_ended = true;
  mux().End(data);
  FinishIfOver(at);
}

void ForwardSession::FinishIfOver(Pairs::iterator pair) {
  if (pair->second.output_ended && pair->second.input_shut) Finish(pair, "");
}

void ForwardSession::Finish(Pairs::iterator at, std::string_view failure) {
  const Pair& pair = at->second;
  for (const auto& stream : {pair.error, pair.data}) {
    if (!stream) continue;
    requests_.erase(*stream);
    const std::string_view text = failure.substr(0, mux().Room(*stream));
    if (stream == pair.error && !text.empty()) mux().Send(*stream, text);
    mux().End(*stream);
  }
  pairs_.erase(at);
}

}  // namespace usetl::cri::streaming
