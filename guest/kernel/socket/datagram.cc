// datagram.cc: SOCK_DGRAM: UDP on the loopback, and AF_UNIX with and without names.
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

// What a packet takes of the kernel's memory, about.
uint64_t CostOf(uint64_t size) {
  constexpr uint64_t kGrain = 512;
  return (sizeof(Packet) + size + kGrain) & ~(kGrain - 1);
}

class DatagramSocket final : public Socket {
 public:
  explicit DatagramSocket(int domain) : Socket(domain, kDatagram) {
    next_ = first_socket_;
    if (first_socket_ != nullptr) first_socket_->previous_ = this;
    first_socket_ = this;
  }
  ~DatagramSocket() override {
    while (first_ != nullptr) Free(Pop());
    (previous_ != nullptr ? previous_->next_ : first_socket_) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    if (twin_ != nullptr) twin_->twin_ = nullptr;
  }
  static void ForgetAll() { first_socket_ = nullptr; }
  bool Join(Socket* other) override {
    twin_ = static_cast<DatagramSocket*>(other);
    twin_->twin_ = this;
    peer_.family = twin_->peer_.family = kUnix;
    paired_ = twin_->paired_ = true;
    return true;
  }
  int64_t Listen(int) override { return -EOPNOTSUPP; }
  int64_t Accept(Socket**) override { return -EOPNOTSUPP; }
  int64_t Connect(const SocketAddress& to) override;
  int64_t Send(const void* user, uint64_t size, uint32_t flags, const SocketAddress* to) override;
  int64_t Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) override;
  int64_t Shutdown(int how) override;
  uint32_t Poll() override;
  bool connected() const override { return peer_.family != kUnspecified; }
  uint64_t available() const override { return first_ == nullptr ? 0 : first_->size; }
  int64_t Deliver(const SocketAddress& from, const void* user, uint64_t size,
                  WaitQueue** full) override;
  bool HasRoom() const override { return queued_ == 0 || queued_ < kMostQueued / 2; }

 private:
  Packet* Pop() {
    Packet* packet = first_;
    first_ = packet->next;
    if (first_ == nullptr) last_ = nullptr;
    queued_ -= CostOf(packet->size);
    return packet;
  }
  int64_t FindReceiver(const SocketAddress& to, bool to_peer, Socket** found);
  SocketAddress SenderFor(const SocketAddress& target) const;
  void TellSenders();

  static DatagramSocket* first_socket_;  // of all
  DatagramSocket* next_ = nullptr;
  DatagramSocket* previous_ = nullptr;

  Packet* first_ = nullptr;
  Packet* last_ = nullptr;
  uint64_t queued_ = 0;               // by CostOf
  bool deaf_ = false, mute_ = false;  // shut down
  bool paired_ = false;
  DatagramSocket* twin_ = nullptr;  // of socketpair(2), while it lives
  WaitQueue room_;                  // senders of AF_UNIX wait for it
};

DatagramSocket* DatagramSocket::first_socket_ = nullptr;

int64_t DatagramSocket::Connect(const SocketAddress& to) {
  if (paired_) {
    if (twin_ != nullptr) twin_->twin_ = nullptr;
    twin_ = nullptr;
    paired_ = false;
  }
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

int64_t DatagramSocket::FindReceiver(const SocketAddress& to, bool to_peer, Socket** found) {
  if (!paired_ || !to_peer) return SocketNames::Find(*this, to, found);
  *found = twin_;
  return twin_ == nullptr ? -ECONNREFUSED : 0;
}

SocketAddress DatagramSocket::SenderFor(const SocketAddress& target) const {
  if (domain_ == kUnix || !IsUnspecified(local_)) return local_;
  SocketAddress sender = LoopbackLike(target, local_.port);
  sender.family = domain_;
  return sender;
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
  const bool to_peer = to == nullptr;
  SocketAddress target = to_peer ? peer_ : *to;
  if (domain_ != kUnix) {
    if (IsUnspecified(target)) target = LoopbackLike(target, target.port);
    SocketAddress any;  // ::, which is the IPv4 address too
    if (domain_ == kInet) any.ip[10] = any.ip[11] = 0xff;
    if (const int64_t error = BindAnyPort(any); error != 0) return error;
  }
  const uint64_t deadline = SendDeadline(flags);
  while (true) {
    Socket* found;
    const int64_t error = FindReceiver(target, to_peer, &found);
    // Nobody listens: who is not connected never hears of it.
    if (error == -ECONNREFUSED && domain_ != kUnix && !to_peer) return size;
    if (error != 0) return error;
    WaitQueue* full = nullptr;
    const int64_t sent = found->Deliver(SenderFor(target), user, size, &full);
    if (sent != -EAGAIN) return sent;
    if (domain_ != kUnix) return size;  // UDP loses what has no room
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    full->Add(&waiter);  // which wakes us as well when it goes
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (reason == WakeReason::kSignal) return Interrupted(deadline);
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
}

int64_t DatagramSocket::Deliver(const SocketAddress& from, const void* user, uint64_t size,
                                WaitQueue** full) {
  if (deaf_) return domain_ == kUnix ? -EPIPE : static_cast<int64_t>(size);
  *full = &room_;
  const uint64_t cost = CostOf(size);
  if (queued_ != 0 && queued_ + cost > kMostQueued) return -EAGAIN;
  if (!MayBuffer(cost / 4096 + 1)) return -ENOBUFS;
  auto* packet = static_cast<Packet*>(Allocate(sizeof(Packet) + size));
  if (packet == nullptr) return -ENOBUFS;
  if (!CopyFromUser(packet->bytes, user, size)) {
    Free(packet);
    return -EFAULT;
  }
  packet->next = nullptr;
  packet->size = size;
  packet->from = from;
  (last_ != nullptr ? last_->next : first_) = packet;
  last_ = packet;
  queued_ += cost;
  queue_.Wake();
  return static_cast<int64_t>(size);
}

// Those that poll for room here listen at queues of their own.
void DatagramSocket::TellSenders() {
  room_.Wake();
  if (domain_ != kUnix) return;
  if (twin_ != nullptr) twin_->queue_.Wake();
  if (local_.family == kUnspecified) return;
  for (DatagramSocket* other = first_socket_; other != nullptr; other = other->next_) {
    if (other->domain_ == kUnix && other->connected() && !other->paired_) other->queue_.Wake();
  }
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
    if (reason == WakeReason::kSignal) return Interrupted(deadline);
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
  const uint64_t whole = first_->size;
  const uint64_t count = whole < size ? whole : size;
  if (!CopyToUser(user, first_->bytes, count)) return -EFAULT;
  if (from != nullptr) *from = first_->from;
  if (!(flags & kMessagePeek)) {
    const bool had_room = HasRoom();
    Free(Pop());
    if (!had_room || !room_.empty()) TellSenders();
  }
  return static_cast<int64_t>(flags & kMessageTruncate ? whole : count);
}

int64_t DatagramSocket::Shutdown(int how) {
  if (how < kShutRead || how > kShutBoth) return -EINVAL;
  // Who waits is woken in any case.
  if (how != kShutWrite) deaf_ = true;
  if (how != kShutRead) mute_ = true;
  TellSenders();
  queue_.Wake();
  return connected() || domain_ == kUnix ? 0 : -ENOTCONN;
}

uint32_t DatagramSocket::Poll() {
  uint32_t events = first_ != nullptr || deaf_ ? kPollIn : 0;
  if (deaf_) events |= kPollReadHup;
  Socket* found;
  const bool full = domain_ == kUnix && connected() &&
                    FindReceiver(peer_, /*to_peer=*/true, &found) == 0 && !found->HasRoom();
  return full ? events : events | kPollOut;
}

}  // namespace

void ForgetDatagramSockets() { DatagramSocket::ForgetAll(); }

Socket* NewDatagramSocket(int domain) { return New<DatagramSocket>(domain); }

}  // namespace usetl::kernel
