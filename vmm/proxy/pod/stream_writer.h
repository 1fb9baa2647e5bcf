// stream_writer.h: bytes on their way into a client's stream.
#ifndef USETL_VMM_PROXY_POD_STREAM_WRITER_H_
#define USETL_VMM_PROXY_POD_STREAM_WRITER_H_

#include <poll.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"

namespace usetl::pod {

// Never waits: what the reader does not take is kept. Without a stream, or with one whose reader
// has left, bytes are dropped.
class StreamWriter {
 public:
  StreamWriter() = default;
  // `socket`: SOCK_STREAM.
  explicit StreamWriter(Fd socket) : socket_(std::move(socket)) {}

  void Add(std::string_view bytes);
  void Flush();
  bool flushed() const { return pending_.empty(); }
  size_t kept() const { return pending_.size(); }
  // The reader finds the end.
  void Close() { socket_.Reset(); }
  // What to poll(2) for; nothing when nothing is kept.
  void AddTo(std::vector<pollfd>* fds) const;

 private:
  Fd socket_;
  std::string pending_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_STREAM_WRITER_H_
