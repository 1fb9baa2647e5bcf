#include "guest/kernel/socket/stream.h"

#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/socket/names.h"

namespace usetl::kernel {
namespace {

constexpr int kLongestBacklog = 4096;  // /proc/sys/net/core/somaxconn

WaitQueue g_orphans;  // nobody ever waits here: the end is closed

}  // namespace

StreamSocket* NewStreamSocket(int domain, int type) { return New<StreamSocket>(domain, type); }

StreamSocket::~StreamSocket() {
  StopListening();
  if (in_ == nullptr) return;
  // What was never read tells the other end that it was lost, and so does a close that must not
  // linger.
  const bool abort = domain_ != kUnix && options_.linger[0] != 0 && options_.linger[1] == 0;
  out_->CloseWriter(abort || in_->available() != 0 ? -ECONNRESET : 0);
  in_->CloseReader();
  in_->readers = &g_orphans;
  out_->writers = &g_orphans;
  in_->Unref();
  out_->Unref();
}

void StreamSocket::Attach(Channel* in, Channel* out) {
  in->Ref();
  out->Ref();
  in_ = in;
  out_ = out;
  in->readers = &queue_;
  out->writers = &queue_;
}

bool StreamSocket::Join(Socket* other) {
  auto* peer = static_cast<StreamSocket*>(other);
  Channel* to_this = Channel::Create();
  Channel* to_peer = Channel::Create();
  const bool made = to_this != nullptr && to_peer != nullptr;
  if (made) {
    to_this->message_borders = to_peer->message_borders = type_ != kStream;
    Attach(to_this, to_peer);
    peer->Attach(to_peer, to_this);
  }
  if (to_this != nullptr) to_this->Unref();  // the sockets hold their own references
  if (to_peer != nullptr) to_peer->Unref();
  return made;
}

int64_t StreamSocket::Listen(int backlog) {
  if (in_ != nullptr) return -EINVAL;
  if (local_.family == kUnspecified) {
    if (domain_ == kUnix) return -EINVAL;
    SocketAddress any;  // ::, which is the IPv4 address too
    if (domain_ == kInet) any.ip[10] = any.ip[11] = 0xff;
    if (const int64_t error = BindAnyPort(any); error != 0) return error;
  }
  // TCP keeps on trying until there is room, which nobody can tell from being let in.
  const bool all = domain_ != kUnix || backlog < 0 || backlog > kLongestBacklog;
  if (!listening_ && !SocketNames::MayListen(*this)) return -EADDRINUSE;
  backlog_ = static_cast<uint32_t>(all ? kLongestBacklog : backlog);
  listening_ = true;
  room_.Wake();
  return 0;
}

void StreamSocket::StopListening() {
  if (!listening_) return;
  listening_ = false;
  while (StreamSocket* socket = first_) {
    first_ = socket->next_;
    socket->out_->CloseWriter(-ECONNRESET);
    socket->Unref();
  }
  last_ = nullptr;
  waiting_ = 0;
  room_.Wake();
  queue_.Wake();
}

int64_t StreamSocket::Accept(Socket** accepted) {
  const uint64_t deadline = ReceiveDeadline(0);
  while (first_ == nullptr) {
    if (!listening_) return -EINVAL;
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    queue_.Add(&waiter);
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (first_ != nullptr) break;
    if (reason == WakeReason::kSignal) return Interrupted(deadline);
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
  StreamSocket* socket = first_;
  first_ = socket->next_;
  if (first_ == nullptr) last_ = nullptr;
  socket->next_ = nullptr;
  --waiting_;
  room_.Wake();
  *accepted = socket;
  return 0;
}

int64_t StreamSocket::Connect(const SocketAddress& to) {
  if (in_ != nullptr) return -EISCONN;
  if (listening_) return domain_ == kUnix ? -EINVAL : -EISCONN;
  if (to.family != domain_) return domain_ == kUnix ? -EINVAL : -EAFNOSUPPORT;
  const uint64_t deadline = SendDeadline(0);
  StreamSocket* listener;
  while (true) {
    Socket* found;
    if (const int64_t error = SocketNames::Find(*this, to, &found); error != 0) return error;
    listener = static_cast<StreamSocket*>(found);  // Find() looks at the type
    if (!listener->listening_) return -ECONNREFUSED;
    if (listener->waiting_ <= listener->backlog_) break;
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    listener->room_.Add(&waiter);  // which wakes us as well when it goes
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (in_ != nullptr) return -EISCONN;  // by another thread meanwhile
    if (reason == WakeReason::kSignal) return Interrupted(deadline);
    if (reason == WakeReason::kTimeout) return domain_ == kUnix ? -EAGAIN : -EINPROGRESS;
  }
  if (!MayBuffer(1)) return -ENOBUFS;
  StreamSocket* other = NewStreamSocket(listener->domain_, type_);
  if (other == nullptr) return -ENOMEM;
  other->status_flags = kReadWriteMode;
  if (domain_ != kUnix) {
    const SocketAddress target = IsUnspecified(to) ? LoopbackLike(to, to.port) : to;
    if (local_.family == kUnspecified || IsUnspecified(local_)) {
      if (const int64_t error = BindAnyPort(LoopbackLike(target, 0)); error != 0) {
        other->Unref();
        return error;
      }
      const uint16_t port = local_.port;
      local_ = LoopbackLike(target, port);
      local_.family = domain_;
    }
    peer_ = other->local_ = target;
  } else {
    peer_ = other->local_ = listener->local_;
  }
  other->peer_ = local_;
  if (!Join(other)) {
    other->Unref();
    peer_ = {};
    return -ENOMEM;
  }
  (listener->last_ != nullptr ? listener->last_->next_ : listener->first_) = other;
  listener->last_ = other;
  ++listener->waiting_;
  listener->queue_.Wake();
  return 0;
}

int64_t StreamSocket::Send(const void* user, uint64_t size, uint32_t flags,
                           const SocketAddress* to) {
  if (flags & kMessageOutOfBand) return -EOPNOTSUPP;
  if (to != nullptr && to->family != kUnspecified && domain_ == kUnix) {
    return in_ != nullptr ? -EISCONN : -EOPNOTSUPP;
  }
  if (in_ == nullptr && domain_ == kUnix) return -ENOTCONN;
  const int64_t sent = in_ == nullptr || out_->writer_closed()
                           ? -EPIPE
                           : out_->Write(user, size, SendDeadline(flags));
  if (sent == -EPIPE && !(flags & kMessageNoSignal)) SendSignal(g_current, {kSigPipe, 0, 0, 0});
  return sent;
}

int64_t StreamSocket::Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) {
  if (in_ == nullptr) return domain_ == kUnix ? -EINVAL : -ENOTCONN;
  if (flags & (kMessageOutOfBand | kMessageErrorQueue)) {
    return flags & kMessageErrorQueue ? -EAGAIN : -EINVAL;
  }
  if (from != nullptr) *from = {};  // a connection's data has no sender
  const uint64_t deadline = ReceiveDeadline(flags);
  if (type_ != kStream) {
    uint64_t whole = 0;
    const int64_t got = in_->Read(user, size, deadline, flags & kMessagePeek, &whole);
    return got >= 0 && (flags & kMessageTruncate) ? static_cast<int64_t>(whole) : got;
  }
  const bool all = (flags & kMessageWaitAll) && !(flags & kMessagePeek);
  uint64_t done = 0;
  do {
    const int64_t got =
        in_->Read(static_cast<uint8_t*>(user) + done, size - done, deadline, flags & kMessagePeek);
    if (got <= 0) return done != 0 ? static_cast<int64_t>(done) : got;
    done += static_cast<uint64_t>(got);
  } while (all && done < size);
  return static_cast<int64_t>(done);
}

int64_t StreamSocket::Shutdown(int how) {
  if (how < kShutRead || how > kShutBoth) return -EINVAL;
  if (listening_ && how != kShutWrite) {
    StopListening();
    return 0;
  }
  if (in_ == nullptr) return -ENOTCONN;
  if (how != kShutWrite) {
    // Over TCP the other end does not hear of it.
    in_->StopReading();
    if (domain_ == kUnix) in_->CloseReader();
  }
  if (how != kShutRead) out_->CloseWriter();
  queue_.Wake();
  return 0;
}

uint32_t StreamSocket::Poll() {
  if (listening_) return first_ != nullptr ? kPollIn : 0;
  if (in_ == nullptr) return kPollOut | kPollHup;
  uint32_t events = 0;
  if (in_->readable()) events |= kPollIn;
  if (in_->ended()) events |= kPollReadHup;
  // An end that is closed hangs up on a UNIX socket; TCP may still be written to.
  const bool deaf = out_->writer_closed() || (domain_ == kUnix && out_->reader_closed());
  if (in_->ended() && deaf) events |= kPollHup;
  if (out_->writable() || out_->writer_closed()) events |= kPollOut;
  return events;
}

}  // namespace usetl::kernel
