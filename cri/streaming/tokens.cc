#include "cri/streaming/tokens.h"

#include <sys/random.h>

#include <array>

namespace usetl::cri::streaming {

std::string_view NameOf(StreamRequest::Kind kind) {
  switch (kind) {
    case StreamRequest::Kind::kExec:
      return "exec";
    case StreamRequest::Kind::kAttach:
      return "attach";
    case StreamRequest::Kind::kPortForward:
      return "portforward";
  }
  return "";
}

Result<std::string> Tokens::Add(StreamRequest request) {
  std::array<uint8_t, 16> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return Status::Errno("getrandom");
  }
  constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  for (const uint8_t byte : random) {
    token.push_back(kDigits[byte >> 4]);
    token.push_back(kDigits[byte & 0xf]);
  }
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [now](const auto& entry) { return entry.second.until <= now; });
  if (waiting_.size() >= kMaxTokens) {
    return Status(EAGAIN, "too many exec, attach and port-forward requests wait for clients");
  }
  waiting_.emplace(token, Waiting{std::move(request), now + life_});
  return token;
}

std::optional<StreamRequest> Tokens::Take(const std::string& token) {
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(token);
  if (found == waiting_.end()) return std::nullopt;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  if (waiting.until <= Clock::now()) return std::nullopt;
  return std::move(waiting.request);
}

}  // namespace usetl::cri::streaming
