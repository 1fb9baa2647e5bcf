// stream.h: connections: SOCK_STREAM, and SOCK_SEQPACKET of AF_UNIX.
#ifndef USETL_GUEST_KERNEL_SOCKET_STREAM_H_
#define USETL_GUEST_KERNEL_SOCKET_STREAM_H_

#include "guest/kernel/file/pipe.h"
#include "guest/kernel/socket/socket.h"

namespace usetl::kernel {

// Fresh, listening, or one end of two channels. A connection is there as soon as connect(2) has
// found a listener with room; accept(2) only takes it up.
class StreamSocket final : public Socket {
 public:
  StreamSocket(int domain, int type) : Socket(domain, type) {}
  ~StreamSocket() override;

  int64_t Listen(int backlog) override;
  int64_t Accept(Socket** accepted) override;
  int64_t Connect(const SocketAddress& to) override;
  int64_t Send(const void* user, uint64_t size, uint32_t flags, const SocketAddress* to) override;
  int64_t Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) override;
  int64_t Shutdown(int how) override;
  bool Join(Socket* other) override;
  uint32_t Poll() override;
  bool connected() const override { return in_ != nullptr; }
  bool listening() const override { return listening_; }
  uint64_t available() const override { return in_ == nullptr ? 0 : in_->available(); }

 private:
  void Attach(Channel* in, Channel* out);
  void StopListening();

  Channel* in_ = nullptr;
  Channel* out_ = nullptr;

  bool listening_ = false;
  uint32_t backlog_ = 0;
  uint32_t waiting_ = 0;
  StreamSocket* first_ = nullptr;  // connected, not accepted yet: a reference each
  StreamSocket* last_ = nullptr;
  StreamSocket* next_ = nullptr;
  WaitQueue room_;  // who waits to connect
};

StreamSocket* NewStreamSocket(int domain, int type);  // null: out of memory

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_STREAM_H_
