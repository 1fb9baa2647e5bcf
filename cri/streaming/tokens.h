// tokens.h: what clients may ask for next: a call of the CRI leaves it here, an URL takes it.
#ifndef USETL_CRI_STREAMING_TOKENS_H_
#define USETL_CRI_STREAMING_TOKENS_H_

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cri/streaming/process.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

inline constexpr size_t kMaxTokens = 1000;

struct StreamRequest {
  enum class Kind { kExec, kAttach, kPortForward };
  Kind kind = Kind::kExec;
  std::string id;               // of the container, or of the pod
  ProcessRequest process;       // exec and attach
  std::vector<uint16_t> ports;  // port-forward, for clients that cannot name them themselves
};

// "exec", "attach", "portforward": the first part of a path.
std::string_view NameOf(StreamRequest::Kind kind);

// Thread-safe.
class Tokens {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Tokens(std::chrono::milliseconds life = std::chrono::minutes(1)) : life_(life) {}

  // 128 random bits in hexadecimal. EAGAIN: too many wait for their clients.
  Result<std::string> Add(StreamRequest request);
  // Each once, and only while it lives.
  std::optional<StreamRequest> Take(const std::string& token);

 private:
  struct Waiting {
    StreamRequest request;
    Clock::time_point until;
  };

  const std::chrono::milliseconds life_;
  std::mutex mutex_;
  std::map<std::string, Waiting> waiting_;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_TOKENS_H_
