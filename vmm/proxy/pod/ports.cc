#include "vmm/proxy/pod/ports.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

namespace usetl::pod {
namespace {

Result<Fd> BindOne(uint16_t number) {
  const std::string name = "port " + std::to_string(number);
  const auto new_socket = [](int family) {
    return Fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  };
  const int on = 1, off = 0;
  sockaddr_in6 both{};
  both.sin6_family = AF_INET6;
  both.sin6_port = htons(number);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(number);
  const auto* address = reinterpret_cast<const sockaddr*>(&both);
  socklen_t size = sizeof both;
  Fd fd = new_socket(AF_INET6);
  if (!fd.ok() && errno == EAFNOSUPPORT) {  // a node without IPv6
    fd = new_socket(AF_INET);
    address = reinterpret_cast<const sockaddr*>(&four);
    size = sizeof four;
  } else if (fd.ok() && setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return Status::Errno(name);
  }
  if (!fd.ok() || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return Status::Errno(name);
  }
  if (bind(fd.get(), address, size) == 0) return fd;
  if (errno != EACCES) return Status::Errno(name);
  return Status(EACCES, name + ": not allowed; net.ipv4.ip_unprivileged_port_start of the pod");
}

}  // namespace

Result<Ports> Ports::Bind(std::span<const uint16_t> numbers) {
  Ports ports;
  for (const uint16_t number : numbers) {
    Result<Fd> fd = BindOne(number);
    if (!fd.ok()) return fd.status();
    ports.sockets_.push_back(std::move(*fd));
  }
  return ports;
}

}  // namespace usetl::pod
