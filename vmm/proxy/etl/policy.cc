#include "vmm/proxy/etl/policy.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace usetl {
namespace {

constexpr size_t kMaxUrl = 8192;

struct Range4 {
  uint32_t base;
  int bits;
};
constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}
// IANA special-purpose registry, RFC 6890 and later.
constexpr Range4 kInternal4[] = {
    {Ip(0, 0, 0, 0), 8},       {Ip(10, 0, 0, 0), 8},      {Ip(100, 64, 0, 0), 10},
    {Ip(127, 0, 0, 0), 8},     {Ip(169, 254, 0, 0), 16},  {Ip(172, 16, 0, 0), 12},
    {Ip(192, 0, 0, 0), 24},    {Ip(192, 0, 2, 0), 24},    {Ip(192, 168, 0, 0), 16},
    {Ip(198, 18, 0, 0), 15},   {Ip(198, 51, 100, 0), 24}, {Ip(203, 0, 113, 0), 24},
    {Ip(224, 0, 0, 0), 4},     {Ip(240, 0, 0, 0), 4},
};

struct Range6 {
  const char* base;
  int bits;
};
// The last five embed IPv4 addresses: refused as a whole.
constexpr Range6 kInternal6[] = {
    {"::", 96},         {"fc00::", 7},  {"fe80::", 10},    {"ff00::", 8},   {"2001:db8::", 32},
    {"::ffff:0:0", 96}, {"2002::", 16}, {"64:ff9b::", 96}, {"64:ff9b:1::", 48}, {"2001::", 32},
};

bool SamePrefix(const uint8_t* a, const uint8_t* b, int bits) {
  if (std::memcmp(a, b, bits / 8) != 0) return false;
  const int rest = bits % 8;
  return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

bool IsNodeAddress(const sockaddr* address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return true;  // cannot tell: refuse
  bool found = false;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != address->sa_family) continue;
    if (address->sa_family == AF_INET) {
      found |= reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr.s_addr ==
               reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr;
    } else if (address->sa_family == AF_INET6) {
      found |= std::memcmp(&reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr,
                           &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, 16) == 0;
    }
  }
  freeifaddrs(list);
  return found;
}

bool LooksNumeric(std::string_view host) {
  const size_t dot = host.rfind('.');
  std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (last.empty()) return true;
  if (last.size() > 1 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X')) return true;
  return std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string AddressText(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "?";
  const void* at = address->sa_family == AF_INET
                       ? static_cast<const void*>(
                             &reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
                       : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  inet_ntop(address->sa_family, at, text, sizeof text);
  return text;
}

}  // namespace

Status ParseUrl(std::string_view url, Origin* origin, std::string* canonical) {
  const auto bad = [](const char* why) { return Status(EINVAL, std::string("URL: ") + why); };
  if (url.size() > kMaxUrl) return bad("longer than 8 kB");
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\') {
      return bad("control character, space or backslash");
    }
  }
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), curl_url_cleanup);
  const std::string text(url);
  if (handle == nullptr || curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return bad("malformed");
  }
  const auto part = [&](CURLUPart which, unsigned flags) {
    char* value = nullptr;
    std::string result;
    if (curl_url_get(handle.get(), which, &value, flags) == CURLUE_OK) result = value;
    curl_free(value);
    return result;
  };
  origin->scheme = part(CURLUPART_SCHEME, 0);
  if (origin->scheme != "http" && origin->scheme != "https") return bad("not http or https");
  if (!part(CURLUPART_USER, 0).empty() || !part(CURLUPART_PASSWORD, 0).empty()) {
    return bad("holds a user name");
  }
  // What the text says, not what a lenient parser makes of it: 0x7f.1 becomes 127.0.0.1 there.
  size_t begin = text.find("://") + 3;
  size_t end = text.find_first_of("/?#", begin);
  std::string authority = text.substr(begin, end == std::string::npos ? end : end - begin);
  if (authority.find('@') != std::string::npos) return bad("holds a user name");
  std::string host = authority;
  if (!host.empty() && host.front() == '[') {
    host = host.substr(1, host.find(']') == std::string::npos ? 0 : host.find(']') - 1);
    in6_addr address;
    if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return bad("bad IPv6 address");
  } else {
    host = host.substr(0, host.find(':'));
    if (!host.empty() && host.back() == '.') host.pop_back();
    in_addr address;
    if (host.empty()) return bad("no host");
    if (LooksNumeric(host) && inet_pton(AF_INET, host.c_str(), &address) != 1) {
      return bad("odd spelling of an IPv4 address");
    }
    for (char& c : host) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                         c == '.' || c == '_';
      if (!plain) return bad("character in the host name");
    }
  }
  origin->host = host;
  const std::string port = part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  origin->port = static_cast<uint16_t>(std::atoi(port.c_str()));
  if (origin->port == 0) return bad("bad port");
  curl_url_set(handle.get(), CURLUPART_FRAGMENT, nullptr, 0);
  *canonical = part(CURLUPART_URL, 0);
  return canonical->empty() ? bad("malformed") : Status();
}

bool IsInternalAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const uint32_t ip = ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    for (const Range4& range : kInternal4) {
      if ((ip ^ range.base) >> (32 - range.bits) == 0) return true;
    }
    return false;
  }
  if (address->sa_family != AF_INET6) return true;
  const uint8_t* ip = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr.s6_addr;
  for (const Range6& range : kInternal6) {
    in6_addr base;
    inet_pton(AF_INET6, range.base, &base);
    if (SamePrefix(ip, base.s6_addr, range.bits)) return true;
  }
  return false;
}

bool IsMetadataAddress(const sockaddr* address) {
  const std::string text = AddressText(address);
  return text.rfind("169.254.", 0) == 0 || text == "100.100.100.200" || text == "fd00:ec2::254" ||
         text == "::ffff:169.254.169.254";
}

Status Policy::Allow(std::string_view text) {
  if (text == "*") {
    any_public_ = true;
    return Status();
  }
  Rule rule;
  std::string plain(text);
  const size_t star = plain.find("://*.");
  if (star != std::string::npos) {
    rule.subdomains = true;
    plain.erase(star + 3, 2);
  }
  std::string canonical;
  const Status status = ParseUrl(plain, &rule.origin, &canonical);
  if (!status.ok()) {
    return Status(EINVAL, "--allow " + std::string(text) +
                              ": want http://HOST[:PORT], https://HOST[:PORT], https://*.DOMAIN or *");
  }
  rules_.push_back(std::move(rule));
  return Status();
}

bool Policy::Matches(const Rule& rule, const Origin& origin) const {
  if (rule.origin.scheme != origin.scheme || rule.origin.port != origin.port) return false;
  if (!rule.subdomains) return rule.origin.host == origin.host;
  const std::string suffix = "." + rule.origin.host;
  return origin.host.size() > suffix.size() && origin.host.ends_with(suffix);
}

Status Policy::CheckOrigin(const Origin& origin) const {
  for (const Rule& rule : rules_) {
    if (Matches(rule, origin)) return Status();
  }
  if (any_public_) return Status();
  return Status(EPERM, origin.scheme + "://" + origin.host + ":" + std::to_string(origin.port) +
                           " is not allowed; open it with --allow");
}

Status Policy::CheckAddress(const Origin& origin, const sockaddr* address) const {
  const std::string text = AddressText(address);
  const bool literal = text == origin.host;
  bool named = false;  // an exact rule opens the internal addresses that its host resolves to
  for (const Rule& rule : rules_) named |= !rule.subdomains && rule.origin == origin;
  if (IsMetadataAddress(address) && !(named && literal)) {
    return Status(EPERM, origin.host + " leads to the metadata address " + text);
  }
  if (named) return Status();
  if (IsInternalAddress(address) || IsNodeAddress(address)) {
    return Status(EPERM, origin.host + " leads to the internal address " + text);
  }
  return Status();
}

}  // namespace usetl
