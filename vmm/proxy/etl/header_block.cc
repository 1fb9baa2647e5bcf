#include "vmm/proxy/etl/header_block.h"

#include <algorithm>
#include <cstdlib>

namespace usetl::etl {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsTokenChar(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         kMarks.find(c) != kMarks.npos;
}

bool IsValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

bool IsHopByHop(std::string_view name) {
  constexpr std::string_view kNames[] = {"Connection", "Keep-Alive", "TE",
                                         "Trailer",    "Upgrade",    "Transfer-Encoding"};
  for (const std::string_view hop : kNames) {
    if (EqualsIgnoreCase(name, hop)) return true;
  }
  return StartsWithIgnoreCase(name, "Proxy-");
}

// Headers of the guest that never leave: the proxy's own, and keys of metadata services.
bool IsWithheld(std::string_view name) {
  constexpr std::string_view kNames[] = {"Host", "Content-Length", "Expect", "HTTP2-Settings"};
  for (const std::string_view own : kNames) {
    if (EqualsIgnoreCase(name, own)) return true;
  }
  return IsHopByHop(name) || StartsWithIgnoreCase(name, "Metadata") ||
         StartsWithIgnoreCase(name, "X-Metadata-") ||
         StartsWithIgnoreCase(name, "X-Google-Metadata-") ||
         StartsWithIgnoreCase(name, "X-aws-ec2-metadata-token");
}

// Whether a Connection header names `name` as its own.
bool ListedIn(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (EqualsIgnoreCase(Trim(list.substr(0, comma)), name)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

bool NamedByConnection(const std::vector<Header>& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (EqualsIgnoreCase(header.name, "Connection") && ListedIn(header.value, name)) return true;
  }
  return false;
}

}  // namespace

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

Result<std::vector<Header>> ParseRequestHeaders(std::string_view block) {
  const auto bad = [](const char* why) { return Status(EINVAL, std::string("headers: ") + why); };
  if (block.size() > kMaxRequestHeaderBytes) return bad("more than 32 kB");
  std::vector<Header> all;
  while (!block.empty()) {
    const size_t end = block.find("\r\n");
    if (end == block.npos) return bad("a line without an end");
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (colon == line.npos) return bad("a line without a colon");
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    if (!IsToken(name)) return bad("a name that is not a token");
    if (!IsValue(value)) return bad("a control character in a value");
    if (all.size() == kMaxHeaders) return bad("more than 100");
    all.push_back({std::string(name), std::string(value)});
  }
  std::vector<Header> kept;
  for (const Header& header : all) {
    if (IsWithheld(header.name) || NamedByConnection(all, header.name)) continue;
    kept.push_back(header);
  }
  return kept;
}

bool ResponseHeaders::Add(std::string_view line) {
  bytes_ += line.size();
  if (bytes_ > kMaxResponseHeaderBytes) return false;
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (complete_) return ++lines_ <= 2 * kMaxHeaders;  // trailers are not handed on
  if (line.starts_with("HTTP/")) {
    const size_t space = line.find(' ');
    status_ = space == line.npos ? 0 : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
    headers_.clear();
    return ++lines_ <= 2 * kMaxHeaders;
  }
  if (line.empty()) {
    complete_ = status_ >= 200;
    return true;
  }
  if (++lines_ > 2 * kMaxHeaders) return false;
  if (line.front() == ' ' || line.front() == '\t') {  // a folded line continues the last value
    if (!headers_.empty() && IsValue(line)) {
      headers_.back().value.append(" ").append(Trim(line));
    }
    return true;
  }
  const size_t colon = line.find(':');
  if (colon == line.npos || !IsToken(line.substr(0, colon))) return true;
  const std::string_view value = Trim(line.substr(colon + 1));
  if (!IsValue(value)) return true;
  if (headers_.size() == kMaxHeaders) return false;
  headers_.push_back({std::string(line.substr(0, colon)), std::string(value)});
  return true;
}

std::string_view ResponseHeaders::Find(std::string_view name) const {
  for (const Header& header : headers_) {
    if (EqualsIgnoreCase(header.name, name)) return header.value;
  }
  return {};
}

bool ResponseHeaders::Contradicts(std::string_view name) const {
  const std::string_view first = Find(name);
  return std::any_of(headers_.begin(), headers_.end(), [&](const Header& header) {
    return EqualsIgnoreCase(header.name, name) && header.value != first;
  });
}

std::string ResponseHeaders::Block() const {
  std::string block;
  for (const Header& header : headers_) {
    if (IsHopByHop(header.name) || NamedByConnection(headers_, header.name)) continue;
    block.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  return block;
}

}  // namespace usetl::etl
