// datagram.cc: SOCK_DGRAM: UDP on the loopback, and AF_UNIX with names.
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/socket/names.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kLargestUdp = 65507;
constexpr uint64_t kLargestUnix = 128 << 10;
constexpr uint64_t kMostQueued = 208 << 10;  // /proc/sys/net/core/rmem_default

struct Packet {
  Packet* next;
  SocketAddress from;
  uint64_t size;
  uint8_t bytes[];
};

class DatagramSocket final : public Socket {
 public:
  explicit DatagramSocket(int domain) : Socket(domain, kDatagram) {}
  ~DatagramSocket() override {
    while (first_ != nullptr) Free(Pop());
  }
  int64_t Listen(int) override { return -EOPNOTSUPP; }
  int64_t Accept(Socket**) override { return -EOPNOTSUPP; }
  int64_t Connect(const SocketAddress& to) override;
  int64_t Send(const void* user, uint64_t size, uint32_t flags, const SocketAddress* to) override;
  int64_t Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) override;
  int64_t Shutdown(int how) override;
  uint32_t Poll() override {
    return (first_ != nullptr || deaf_ ? kPollIn : 0) | kPollOut | (deaf_ ? kPollReadHup : 0);
  }
  bool connected() const override { return peer_.family != kUnspecified; }
  uint64_t available() const override { return first_ == nullptr ? 0 : first_->size; }
  int64_t Deliver(const Socket& from, const void* user, uint64_t size, WaitQueue** full) override;

 private:
  Packet* Pop() {
    Packet* packet = first_;
    first_ = packet->next;
    if (first_ == nullptr) last_ = nullptr;
    queued_ -= packet->size;
    return packet;
  }

  Packet* first_ = nullptr;
  Packet* last_ = nullptr;
  uint64_t queued_ = 0;
  bool deaf_ = false, mute_ = false;  // shut down
  WaitQueue room_;                    // senders of AF_UNIX wait for it
};

int64_t DatagramSocket::Connect(const SocketAddress& to) {
  if (to.family == kUnspecified) {
    peer_ = {};
    return 0;
  }
  SocketAddress target = to;
  if (domain_ != kUnix) {
    if (IsUnspecified(to)) target = LoopbackLike(to, to.port);
    if (!IsLoopback(target)) return -ENETUNREACH;
    if (const int64_t error = BindAnyPort(LoopbackLike(target, 0)); error != 0) return error;
    if (IsUnspecified(local_)) {
      const uint16_t port = local_.port;
      local_ = LoopbackLike(target, port);
      local_.family = domain_;
    }
  } else {
    Socket* found;
    if (const int64_t error = SocketNames::Find(*this, to, &found); error != 0) return error;
  }
  peer_ = target;
  return 0;
}

int64_t DatagramSocket::Send(const void* user, uint64_t size, uint32_t flags,
                             const SocketAddress* to) {
  if (flags & kMessageOutOfBand) return -EOPNOTSUPP;
  if (size > (domain_ == kUnix ? kLargestUnix : kLargestUdp)) return -EMSGSIZE;
  if (mute_) {
    if (!(flags & kMessageNoSignal)) SendSignal(g_current, {kSigPipe, 0, 0, 0});
    return -EPIPE;
  }
  if (to == nullptr && !connected()) return domain_ == kUnix ? -ENOTCONN : -EDESTADDRREQ;
  if (to != nullptr && to->family != domain_) return domain_ == kUnix ? -EINVAL : -EAFNOSUPPORT;
  const SocketAddress target = to != nullptr ? *to : peer_;
  if (domain_ != kUnix) {
    SocketAddress any;
    if (IsV4(target)) any.ip[10] = any.ip[11] = 0xff;  // 0.0.0.0, else ::
    if (const int64_t error = BindAnyPort(any); error != 0) return error;
  }
  const uint64_t deadline = SendDeadline(flags);
  while (true) {
    Socket* found;
    const int64_t error = SocketNames::Find(*this, target, &found);
    // Nobody listens: who is not connected never hears of it.
    if (error == -ECONNREFUSED && domain_ != kUnix && to != nullptr) return size;
    if (error != 0) return error;
    WaitQueue* full = nullptr;
    const int64_t sent = found->Deliver(*this, user, size, &full);
    if (sent != -EAGAIN) return sent;
    if (domain_ != kUnix) return size;  // UDP loses what has no room
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    full->Add(&waiter);  // which wakes us as well when it goes
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (reason == WakeReason::kSignal) return kRestart;
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
}

int64_t DatagramSocket::Deliver(const Socket& from, const void* user, uint64_t size,
                                WaitQueue** full) {
  if (deaf_) return domain_ == kUnix ? -EPIPE : static_cast<int64_t>(size);
  *full = &room_;
  if (queued_ != 0 && queued_ + size > kMostQueued) return -EAGAIN;
  auto* packet = static_cast<Packet*>(Allocate(sizeof(Packet) + size));
  if (packet == nullptr) return -ENOBUFS;
  if (!CopyFromUser(packet->bytes, user, size)) {
    Free(packet);
    return -EFAULT;
  }
  packet->next = nullptr;
  packet->size = size;
  packet->from = from.local();
  if (domain_ != kUnix && IsUnspecified(packet->from)) {
    packet->from = LoopbackLike(packet->from, packet->from.port);
    packet->from.family = domain_;
  }
  (last_ != nullptr ? last_->next : first_) = packet;
  last_ = packet;
  queued_ += size;
  queue_.Wake();
  return static_cast<int64_t>(size);
}

int64_t DatagramSocket::Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) {
  if (flags & kMessageErrorQueue) return -EAGAIN;
  if (flags & kMessageOutOfBand) return -EOPNOTSUPP;
  const uint64_t deadline = ReceiveDeadline(flags);
  while (first_ == nullptr) {
    if (deaf_) return 0;
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    queue_.Add(&waiter);
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (first_ != nullptr) break;
    if (reason == WakeReason::kSignal) return kRestart;
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
  const uint64_t whole = first_->size;
  const uint64_t count = whole < size ? whole : size;
  if (!CopyToUser(user, first_->bytes, count)) return -EFAULT;
  if (from != nullptr) *from = first_->from;
  if (!(flags & kMessagePeek)) {
    Free(Pop());
    room_.Wake();
  }
  return static_cast<int64_t>(flags & kMessageTruncate ? whole : count);
}

int64_t DatagramSocket::Shutdown(int how) {
  if (how < kShutRead || how > kShutBoth) return -EINVAL;
  if (!connected()) return -ENOTCONN;
  if (how != kShutWrite) deaf_ = true;
  if (how != kShutRead) mute_ = true;
  room_.Wake();
  queue_.Wake();
  return 0;
}

}  // namespace

Socket* NewDatagramSocket(int domain) { return New<DatagramSocket>(domain); }

}  // namespace usetl::kernel
