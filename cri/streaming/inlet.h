// inlet.h: what a client sent and a program or a socket has not taken yet.
#ifndef USETL_CRI_STREAMING_INLET_H_
#define USETL_CRI_STREAMING_INLET_H_

#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::cri::streaming {

// A stream with as much waiting keeps its client's connection from being read.
inline constexpr size_t kMaxPending = 64 << 10;

class Inlet {
 public:
  void Push(std::string_view data) { pending_ += data; }
  void End() { ended_ = true; }

  size_t size() const { return pending_.size(); }
  bool drained() const { return ended_ && pending_.empty(); }
  // Writes what the nonblocking `fd` takes; bytes. EPIPE, ECONNRESET and the like: it takes no
  // more.
  Result<size_t> Flush(int fd);
  // Forgets what waits; bytes.
  size_t Drop();

 private:
  std::string pending_;
  bool ended_ = false;
};

// Reads at most `limit` bytes off `fd`, which is ready. An empty text: the end.
Result<std::string> ReadSome(int fd, size_t limit);
Status SetNonblocking(int fd);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_INLET_H_
