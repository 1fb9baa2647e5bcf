#include "vmm/proxy/etl/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>

namespace usetl::etl {
namespace {

Status Bad(std::string why) { return Status(EINVAL, "URL: " + std::move(why)); }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Resolvers and lenient parsers read such names as IPv4 addresses: 2130706433, 0x7f.1, 127.1.
bool LooksNumeric(std::string_view host) {
  const size_t dot = host.rfind('.');
  const std::string_view last = dot == host.npos ? host : host.substr(dot + 1);
  if (last.size() > 1 && last[0] == '0' && last[1] == 'x') return true;
  return std::all_of(last.begin(), last.end(), IsDigit);
}

// The host as the text says it: what a lenient parser makes of it must be the same.
Result<std::string> CheckHost(std::string_view text) {
  if (!text.empty() && text.front() == '[') {
    in6_addr address;
    char shortest[INET6_ADDRSTRLEN];
    const std::string inner(text.substr(1, text.size() >= 2 ? text.size() - 2 : 0));
    if (text.back() != ']' || inet_pton(AF_INET6, inner.c_str(), &address) != 1) {
      return Bad("bad IPv6 address");
    }
    return std::string(inet_ntop(AF_INET6, &address, shortest, sizeof shortest));
  }
  std::string host(text);
  std::transform(host.begin(), host.end(), host.begin(), Lower);
  if (!host.empty() && host.back() == '.') host.pop_back();
  if (host.empty() || host.size() > 253) return Bad("no host, or too long a name");
  if (host.front() == '.' || host.back() == '.' || host.find("..") != host.npos) {
    return Bad("empty label in the host name");
  }
  for (const char c : host) {
    if (!(c >= 'a' && c <= 'z') && !IsDigit(c) && c != '-' && c != '.' && c != '_') {
      return Bad("character in the host name (names are ASCII; write others in punycode)");
    }
  }
  in_addr address;
  if (LooksNumeric(host) && inet_pton(AF_INET, host.c_str(), &address) != 1) {
    return Bad("odd spelling of an IPv4 address");
  }
  return host;
}

Result<uint16_t> CheckPort(std::string_view text, uint16_t standard) {
  if (text.empty()) return standard;
  if (text.size() > 5 || !std::all_of(text.begin(), text.end(), IsDigit)) return Bad("bad port");
  const int port = std::atoi(std::string(text).c_str());
  if (port == 0 || port > 65535) return Bad("bad port");
  return static_cast<uint16_t>(port);
}

Status CheckCharacters(std::string_view text) {
  if (text.size() > kMaxUrl) return Bad("longer than 8 kB");
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '\\') {
      return Bad("control character, space, backslash or not ASCII");
    }
  }
  return Status();
}

}  // namespace

std::string Origin::Text() const {
  const bool v6 = host.find(':') != host.npos;
  return scheme + "://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Url::Part(CURLUPart part, unsigned flags) const {
  char* value = nullptr;
  std::string result;
  if (curl_url_get(handle_.get(), part, &value, flags) == CURLUE_OK) result = value;
  curl_free(value);
  return result;
}

Result<Url> Url::Parse(std::string_view text) {
  USETL_RETURN_IF_ERROR(CheckCharacters(text));
  Url url;
  const size_t colon = text.find("://");
  if (colon == text.npos) return Bad("not http:// or https://");
  for (const char c : text.substr(0, colon)) url.origin_.scheme += Lower(c);
  if (url.origin_.scheme != "http" && url.origin_.scheme != "https") {
    return Bad("not http:// or https://");
  }
  std::string_view authority = text.substr(colon + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != authority.npos) return Bad("holds a user name");
  const size_t bracket = authority.rfind(']');
  const size_t port_at = authority.find(':', bracket == authority.npos ? 0 : bracket);
  Result<std::string> host = CheckHost(authority.substr(0, port_at));
  if (!host.ok()) return host.status();
  Result<uint16_t> port =
      CheckPort(port_at == authority.npos ? std::string_view() : authority.substr(port_at + 1),
                url.origin_.scheme == "https" ? 443 : 80);
  if (!port.ok()) return port.status();
  url.origin_.host = *host;
  url.absolute_ = authority.substr(0, port_at).ends_with('.');
  url.origin_.port = *port;

  url.handle_.reset(curl_url());
  const std::string copy(text);
  if (url.handle_ == nullptr || curl_url_set(url.handle_.get(), CURLUPART_URL, copy.c_str(),
                                             CURLU_DISALLOW_USER) != CURLUE_OK) {
    return Bad("malformed");
  }
  // libcurl must have found the very same host and port, and connects to the checked spelling.
  std::string parsed_host = url.Part(CURLUPART_HOST);
  std::transform(parsed_host.begin(), parsed_host.end(), parsed_host.begin(), Lower);
  Result<std::string> again = CheckHost(parsed_host);
  if (!again.ok() || *again != *host || url.Part(CURLUPART_SCHEME) != url.origin_.scheme ||
      url.Part(CURLUPART_PORT, CURLU_DEFAULT_PORT) != std::to_string(*port)) {
    return Bad("ambiguous host or port");
  }
  const std::string canonical = host->find(':') == host->npos ? *host : "[" + *host + "]";
  if (curl_url_set(url.handle_.get(), CURLUPART_HOST, canonical.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.handle_.get(), CURLUPART_FRAGMENT, nullptr, 0) != CURLUE_OK) {
    return Bad("malformed");
  }
  return url;
}

Result<Url> Url::Resolve(std::string_view location) const {
  USETL_RETURN_IF_ERROR(CheckCharacters(location));
  // Whoever names a host is parsed from the text itself, not from what libcurl makes of it.
  if (location.starts_with("//")) return Parse(origin_.scheme + ":" + std::string(location));
  const size_t colon = location.find(':');
  if (colon != location.npos && location.find_first_of("/?#") > colon) return Parse(location);
  const std::unique_ptr<CURLU, Cleanup> target(curl_url_dup(handle_.get()));
  const std::string text(location);
  if (target == nullptr ||
      curl_url_set(target.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return Bad("malformed");
  }
  char* absolute = nullptr;
  if (curl_url_get(target.get(), CURLUPART_URL, &absolute, 0) != CURLUE_OK) {
    return Bad("malformed");
  }
  Result<Url> url = Parse(absolute);
  curl_free(absolute);
  if (url.ok()) url->absolute_ = absolute_;  // the host is this one's
  return url;
}

std::string Url::LogText() const { return origin_.Text() + Part(CURLUPART_PATH); }

}  // namespace usetl::etl
