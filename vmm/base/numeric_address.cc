#include "vmm/base/numeric_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <string>

namespace usetl {

Result<NumericAddress> ParseNumericAddress(std::string_view option, std::string_view text) {
  const Status bad(EINVAL, std::string(option) + ": \"" + std::string(text) +
                               "\" is no address and port; write 127.0.0.1:9470 or [::1]:9470");
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return bad;
  std::string host(text.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || rest != end || port == 0) return bad;
  NumericAddress address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  four->sin_port = htons(port);
  const int family = bracketed ? AF_INET6 : AF_INET;
  void* const number = bracketed ? static_cast<void*>(&six->sin6_addr) : &four->sin_addr;
  if (inet_pton(family, host.c_str(), number) != 1) return bad;
  address.storage.ss_family = static_cast<sa_family_t>(family);
  address.size = bracketed ? sizeof *six : sizeof *four;
  return address;
}

}  // namespace usetl
