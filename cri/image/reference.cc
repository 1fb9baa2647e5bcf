#include "cri/image/reference.h"

#include <arpa/inet.h>

#include <algorithm>

#include "cri/image/digest.h"

namespace usetl::image {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr size_t kMaxText = kMaxName + 1 + kMaxTag + 1 + 71;
// What names without a host mean. Its registry answers under another name.
constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kDefaultAlias = "index.docker.io";
constexpr std::string_view kDefaultHost = "registry-1.docker.io";
constexpr std::string_view kDefaultFolder = "library/";

bool IsLower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsAlphanumeric(char c) { return IsLower(c) || IsUpper(c); }

Status Wrong(std::string_view text, std::string_view why) {
  return Status(EINVAL, "image name \"" + std::string(text) + "\": " + std::string(why));
}

// Labels of letters, digits and inner hyphens between dots.
bool IsHostName(std::string_view host) {
  while (true) {
    const size_t dot = std::min(host.find('.'), host.size());
    const std::string_view label = host.substr(0, dot);
    if (label.empty() || !IsAlphanumeric(label.front()) || !IsAlphanumeric(label.back()) ||
        !std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-'; })) {
      return false;
    }
    if (dot == host.size()) return true;
    host.remove_prefix(dot + 1);
  }
}

bool IsPort(std::string_view port) {
  int value = 0;
  for (char c : port) {
    if (c < '0' || c > '9' || value > 65535) return false;
    value = value * 10 + (c - '0');
  }
  return value > 0 && value <= 65535;
}

bool IsIpv6(std::string_view text) {
  in6_addr address;
  return text.size() < INET6_ADDRSTRLEN &&
         inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

bool IsDomain(std::string_view domain) {
  if (domain.starts_with('[')) {
    const size_t end = domain.find(']');
    if (end == std::string_view::npos || !IsIpv6(domain.substr(1, end - 1))) return false;
    const std::string_view rest = domain.substr(end + 1);
    return rest.empty() || (rest.front() == ':' && IsPort(rest.substr(1)));
  }
  const size_t colon = domain.find(':');
  if (colon != std::string_view::npos && !IsPort(domain.substr(colon + 1))) return false;
  return IsHostName(domain.substr(0, colon));
}

// Lower-case letters and digits, with one '.', one or two '_', or any number of '-' between them.
bool IsComponent(std::string_view part) {
  if (part.empty() || !IsLower(part.front()) || !IsLower(part.back())) return false;
  for (size_t i = 0; i < part.size();) {
    if (IsLower(part[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < part.size() && part[end] == part[i]) ++end;
    const size_t most = part[i] == '.' ? 1 : part[i] == '_' ? 2 : part[i] == '-' ? kMaxName : 0;
    if (end - i > most || !IsLower(part[end])) return false;
    i = end;
  }
  return true;
}

bool IsPath(std::string_view path) {
  while (true) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (!IsComponent(path.substr(0, slash))) return false;
    if (slash == path.size()) return true;
    path.remove_prefix(slash + 1);
  }
}

bool IsTag(std::string_view tag) {
  const auto word = [](char c) { return IsAlphanumeric(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kMaxTag && word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(),
                     [&](char c) { return word(c) || c == '.' || c == '-'; });
}

// The first part of a name is a host when it looks like one that no repository can be called.
bool LooksLikeDomain(std::string_view part) {
  return part == "localhost" || std::any_of(part.begin(), part.end(), [](char c) {
           return c == '.' || c == ':' || IsUpper(c);
         });
}

}  // namespace

Result<Reference> Reference::Parse(std::string_view text) {
  if (text.empty()) return Status(EINVAL, "an empty image name; NAME:TAG is wanted");
  if (text.size() > kMaxText)
    return Status(EINVAL, "an image name that is too long: 255 bytes at most, and a tag of 128");
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; })) {
    return Status(EINVAL, "an image name with blanks or bytes that are not ASCII; leave them out");
  }
  if (IsDigest(text) || (text.size() == 64 && IsHex(text)))
    return Wrong(text, "is an id; NAME:TAG is wanted");
  Reference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!IsDigest(reference.digest))
      return Wrong(text, "what follows @ is no digest, sha256: and 64 hex digits");
    rest = rest.substr(0, at);
  }
  // A colon behind the last slash is a tag's, one before it is a port's.
  const size_t slash = rest.rfind('/');
  const size_t name_start = slash == std::string_view::npos ? 0 : slash + 1;
  if (const size_t colon = rest.find(':', name_start); colon != std::string_view::npos) {
    const std::string_view tag = rest.substr(colon + 1);
    if (!IsTag(tag))
      return Wrong(text, "the tag has other characters than letters, digits, \"_\", \".\", \"-\"");
    if (reference.digest.empty()) reference.tag = tag;
    rest = rest.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  const size_t first = rest.find('/');
  if (first != std::string_view::npos && LooksLikeDomain(rest.substr(0, first))) {
    reference.domain = rest.substr(0, first);
    reference.path = rest.substr(first + 1);
    if (!IsDomain(reference.domain))
      return Wrong(text, "the registry is none, which is HOST or HOST:PORT");
  } else {
    reference.domain = kDefaultDomain;
    reference.path = rest;
  }
  if (!IsPath(reference.path))
    return Wrong(text,
                 "a repository has lower-case letters and digits, and \".\", \"_\", \"-\", \"/\" "
                 "between them");
  if (reference.domain == kDefaultAlias) reference.domain = kDefaultDomain;
  if (reference.domain == kDefaultDomain && reference.path.find('/') == std::string::npos) {
    reference.path.insert(0, kDefaultFolder);
  }
  if (reference.Name().size() > kMaxName)
    return Wrong(text, "is longer than 255 bytes; shorten it");
  return reference;
}

std::string Reference::Host() const {
  return domain == kDefaultDomain ? std::string(kDefaultHost) : domain;
}

bool IsLoopback(std::string_view host) {
  if (host == "[::1]" || host.starts_with("[::1]:")) return true;
  const std::string name(host.substr(0, host.find(':')));
  in_addr address;
  return name == "localhost" ||
         (inet_pton(AF_INET, name.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127);
}

}  // namespace usetl::image
