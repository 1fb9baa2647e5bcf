#include "vmm/proxy/gateway/request_check.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdint>

namespace usetl::gateway {

bool IsCleanHeader(std::string_view block) {
  for (size_t i = 0; i < block.size(); ++i) {
    const char c = block[i];
    if (c == '\0') return false;
    if (c == '\r' && (i + 1 == block.size() || block[i + 1] != '\n')) return false;
    if (c != '\n') continue;
    if (i == 0 || block[i - 1] != '\r') return false;
    const bool folded = i + 1 < block.size() && (block[i + 1] == ' ' || block[i + 1] == '\t');
    if (folded) return false;
  }
  return true;
}

std::string RequestId(std::string_view given) {
  constexpr size_t kMost = 128;
  const auto visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (!given.empty() && given.size() <= kMost && std::ranges::all_of(given, visible)) {
    return std::string(given);
  }
  uint8_t bytes[16] = {};
  // Names a request in logs, no more: it may even repeat.
  (void)!getrandom(bytes, sizeof bytes, GRND_NONBLOCK);
  std::string id;
  for (const uint8_t byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

}  // namespace usetl::gateway
