#include "vmm/proxy/etl/address_ranges.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace usetl::etl {
namespace {

struct Range4 {
  uint32_t base;
  int bits;
};
constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}
// The registry of special-purpose addresses, RFC 6890 and later.
constexpr Range4 kInternal4[] = {
    {Ip(0, 0, 0, 0), 8},      {Ip(10, 0, 0, 0), 8},     {Ip(100, 64, 0, 0), 10},
    {Ip(127, 0, 0, 0), 8},    {Ip(169, 254, 0, 0), 16}, {Ip(172, 16, 0, 0), 12},
    {Ip(192, 0, 0, 0), 24},   {Ip(192, 0, 2, 0), 24},   {Ip(192, 88, 99, 0), 24},
    {Ip(192, 168, 0, 0), 16}, {Ip(198, 18, 0, 0), 15},  {Ip(198, 51, 100, 0), 24},
    {Ip(203, 0, 113, 0), 24}, {Ip(224, 0, 0, 0), 4},    {Ip(240, 0, 0, 0), 4},
};
constexpr Range4 kUnicast4[] = {
    {Ip(10, 0, 0, 0), 8},    {Ip(100, 64, 0, 0), 10},  {Ip(127, 0, 0, 0), 8},
    {Ip(172, 16, 0, 0), 12}, {Ip(192, 168, 0, 0), 16},
};
// Link-local ones of several clouds, then those of Alibaba, Oracle and Azure.
constexpr Range4 kMetadata4[] = {
    {Ip(169, 254, 0, 0), 16},
    {Ip(100, 100, 100, 200), 32},
    {Ip(192, 0, 0, 192), 32},
    {Ip(168, 63, 129, 16), 32},
};

struct Range6 {
  uint8_t base[16];
  int bits;
};
// Of the global range 2000::/3; nothing outside of it is public.
constexpr Range6 kInternal6[] = {
    {{0x20, 0x01, 0x00}, 23},        // IETF protocols, Teredo
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff, 0x00}, 20},        // documentation
};
constexpr Range6 kMetadata6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2}, 32},  // Amazon: fd00:ec2::254, ::23, ...
    {{0xfd, 0x20, 0x00, 0xce}, 32},  // Google: fd20:ce::254
};

bool Within(uint32_t ip, const Range4& range) {
  return (ip ^ range.base) >> (32 - range.bits) == 0;
}

bool Within(const uint8_t* ip, const Range6& range) {
  if (std::memcmp(ip, range.base, range.bits / 8) != 0) return false;
  const int rest = range.bits % 8;
  return rest == 0 || (ip[range.bits / 8] ^ range.base[range.bits / 8]) >> (8 - rest) == 0;
}

uint32_t Ip4(const sockaddr* address) {
  return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
}

const uint8_t* Ip6(const sockaddr* address) {
  return reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr.s6_addr;
}

uint32_t Word(const uint8_t* bytes) { return Ip(bytes[0], bytes[1], bytes[2], bytes[3]); }

// Interface identifiers of ISATAP end in 5efe and an IPv4 address, under any prefix.
bool IsIsatap(const uint8_t* ip) { return (Word(ip + 8) & ~0x0200'0000u) == 0x0000'5efe; }

// The IPv4 address that an IPv6 one carries, by the prefixes that say so.
std::optional<uint32_t> Embedded(const uint8_t* ip) {
  static constexpr uint8_t kZero[12] = {};
  const bool zero8 = std::memcmp(ip, kZero, 8) == 0;
  if (zero8 && (Word(ip + 8) == 0 || Word(ip + 8) == 0xffff || Word(ip + 8) == 0xffff'0000)) {
    return Word(ip + 12);  // compatible, mapped, translated
  }
  if (Word(ip) == 0x0064'ff9b) return Word(ip + 12);  // NAT64, both prefixes
  if (ip[0] == 0x20 && ip[1] == 0x02) return Word(ip + 2);
  if (IsIsatap(ip)) return Word(ip + 12);
  return std::nullopt;
}

template <size_t N>
bool IsAnyOf(uint32_t ip, const Range4 (&ranges)[N]) {
  return std::ranges::any_of(ranges, [ip](const Range4& range) { return Within(ip, range); });
}

bool IsMetadata4(uint32_t ip) { return IsAnyOf(ip, kMetadata4); }
bool IsInternal4(uint32_t ip) { return IsAnyOf(ip, kInternal4); }

}  // namespace

bool IsInternalAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) return IsInternal4(Ip4(address));
  if (address->sa_family != AF_INET6) return true;
  const uint8_t* ip = Ip6(address);
  if (ip[0] >> 5 != 1 || IsIsatap(ip)) return true;
  for (const Range6& range : kInternal6) {
    if (Within(ip, range)) return true;
  }
  return false;
}

bool IsUnicastAddress(const sockaddr* address) {
  if (!IsInternalAddress(address)) return true;
  if (address->sa_family == AF_INET) return IsAnyOf(Ip4(address), kUnicast4);
  if (address->sa_family != AF_INET6) return false;
  const uint8_t* ip = Ip6(address);
  constexpr uint8_t kUniqueLocal = 0xfc;  // fc00::/7
  const bool local = (ip[0] & 0xfe) == kUniqueLocal && !IsIsatap(ip);
  return local || std::memcmp(ip, &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

bool IsMetadataAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) return IsMetadata4(Ip4(address));
  if (address->sa_family != AF_INET6) return false;
  const uint8_t* ip = Ip6(address);
  for (const Range6& range : kMetadata6) {
    if (Within(ip, range)) return true;
  }
  const std::optional<uint32_t> embedded = Embedded(ip);
  return embedded && IsMetadata4(*embedded);
}

bool IsNodeAddress(const sockaddr* address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return true;
  bool found = false;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != address->sa_family) continue;
    if (address->sa_family == AF_INET) found |= Ip4(i->ifa_addr) == Ip4(address);
    if (address->sa_family == AF_INET6) {
      found |= std::memcmp(Ip6(i->ifa_addr), Ip6(address), 16) == 0;
    }
  }
  freeifaddrs(list);
  return found;
}

std::string AddressText(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    inet_ntop(AF_INET6, Ip6(address), text, sizeof text);
  }
  return text;
}

}  // namespace usetl::etl
