#include "cri/streaming/loopback_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>

namespace usetl::cri::streaming {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string host;  // as in an URL
};

Result<Address> Parse(const std::string& text) {
  const Status bad(EINVAL, "the streaming address \"" + text +
                               "\" is none: 127.0.0.1:PORT or [::1]:PORT is wanted");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad;
  Address address;
  address.host = text.substr(0, colon);
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return bad;
  const std::string& host = address.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6->sin6_addr) != 1 ||
        !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) {
      return bad;
    }
    address.size = sizeof *v6;
    return address;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1 ||
      ntohl(v4->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
    return bad;
  }
  address.size = sizeof *v4;
  return address;
}

}  // namespace

Result<LoopbackListener> ListenOnLoopback(const std::string& text) {
  Result<Address> address = Parse(text);
  if (!address.ok()) return address.status();
  auto* const raw = reinterpret_cast<sockaddr*>(&address->storage);
  LoopbackListener listener;
  listener.socket =
      Fd(socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.socket.ok()) return Status::Errno("socket");
  const int on = 1;  // a port that an earlier usetld had
  setsockopt(listener.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener.socket.get(), raw, address->size) != 0 ||
      listen(listener.socket.get(), SOMAXCONN) != 0 ||
      getsockname(listener.socket.get(), raw, &address->size) != 0) {
    return Status::Errno("listen at " + text);
  }
  // Both families have it at the same place.
  const uint16_t port = ntohs(reinterpret_cast<sockaddr_in*>(raw)->sin_port);
  listener.address = address->host + ":" + std::to_string(port);
  return listener;
}

}  // namespace usetl::cri::streaming
