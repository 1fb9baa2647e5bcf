#include "vmm/base/numeric_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
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
  if (bracketed) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) != 1) return bad;
    address.size = sizeof six;
    std::memcpy(&address.storage, &six, sizeof six);
  } else {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) != 1) return bad;
    address.size = sizeof four;
    std::memcpy(&address.storage, &four, sizeof four);
  }
  return address;
}

}  // namespace usetl
