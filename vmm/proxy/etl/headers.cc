#include "vmm/proxy/etl/headers.h"

#include <algorithm>
#include <cstring>

namespace usetl {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsToken(std::string_view name) {
  static constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (Lower(c) >= 'a' && Lower(c) <= 'z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

bool HopByHop(std::string_view name) {
  for (const char* dropped : {"connection", "keep-alive", "te", "trailer", "transfer-encoding",
                              "upgrade", "proxy-authenticate", "proxy-authorization",
                              "proxy-connection"}) {
    if (EqualsIgnoringCase(name, dropped)) return true;
  }
  return false;
}

bool SetByProxy(std::string_view name) {
  for (const char* dropped : {"host", "content-length", "expect", "metadata-flavor",
                              "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"}) {
    if (EqualsIgnoringCase(name, dropped)) return true;
  }
  return false;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return Lower(x) == Lower(y);
         });
}

Status ParseRequestHeaders(std::string_view block, std::vector<Header>* headers) {
  const Status bad(EINVAL, "a header of the request is malformed");
  while (!block.empty()) {
    const size_t end = block.find("\r\n");
    if (end == std::string_view::npos) return bad;
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    if (!IsToken(name)) return bad;
    for (const char c : value) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return bad;
    }
    if (HopByHop(name) || SetByProxy(name)) continue;
    if (headers->size() == kMaxHeaders) return Status(E2BIG, "more than 100 headers");
    headers->push_back({std::string(name), std::string(value)});
  }
  return Status();
}

bool AppendAnswerHeader(std::string_view line, std::string* block, size_t* count) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;  // status line or the empty line
  if (++*count > kMaxHeaders || block->size() + line.size() > kMaxHeaderBytes) return false;
  const std::string_view name = line.substr(0, colon);
  if (!IsToken(name) || HopByHop(name)) return true;
  block->append(name).append(": ").append(Trim(line.substr(colon + 1))).append("\r\n");
  return true;
}

}  // namespace usetl
