#include "vmm/proxy/pod/stream_writer.h"

#include <errno.h>
#include <sys/socket.h>

namespace usetl::pod {

void StreamWriter::Add(std::string_view bytes) {
  if (socket_.ok()) pending_.append(bytes);
  Flush();
}

void StreamWriter::Flush() {
  while (!pending_.empty()) {
    const ssize_t count =
        send(socket_.get(), pending_.data(), pending_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) {
      socket_.Reset();  // nobody reads it
      pending_.clear();
      return;
    }
    pending_.erase(0, static_cast<size_t>(count));
  }
}

void StreamWriter::AddTo(std::vector<pollfd>* fds) const {
  if (!pending_.empty()) fds->push_back({socket_.get(), POLLOUT, 0});
}

}  // namespace usetl::pod
