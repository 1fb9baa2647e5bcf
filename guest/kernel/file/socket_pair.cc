// socket_pair.cc: two sockets connected to each other; there is no network to connect to.
#include "guest/kernel/file/pipe.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {

class SocketFile final : public File {
 public:
  SocketFile(Channel* in, Channel* out, int type) : in_(in), out_(out), type_(type) {
    in_->Ref();
    out_->Ref();
    in_->readers = &queue_;
    out_->writers = &queue_;
  }
  ~SocketFile() override {
    in_->CloseReader();
    out_->CloseWriter();
    static WaitQueue orphans;  // nobody ever waits here: the end is closed
    in_->readers = &orphans;
    out_->writers = &orphans;
    in_->Unref();
    out_->Unref();
  }
  int64_t Read(void* user, uint64_t size) override {
    return in_->Read(user, size, !(status_flags & kNonBlock), false);
  }
  int64_t Write(const void* user, uint64_t size) override { return Send(user, size, 0); }
  int64_t Receive(void* user, uint64_t size, uint32_t flags) {
    constexpr uint32_t kPeek = 2, kDontWait = 0x40;
    const bool block = !(status_flags & kNonBlock) && !(flags & kDontWait);
    return in_->Read(user, size, block, flags & kPeek);
  }
  int64_t Send(const void* user, uint64_t size, uint32_t flags) {
    constexpr uint32_t kDontWait = 0x40, kNoSignal = 0x4000;
    const bool block = !(status_flags & kNonBlock) && !(flags & kDontWait);
    if (out_->writer_closed()) return -EPIPE;
    const int64_t sent = out_->Write(user, size, block);
    if (sent == -EPIPE && !(flags & kNoSignal)) SendSignal(g_current, {kSigPipe, 0, 0, 0});
    return sent;
  }
  int64_t Shutdown(int how) {
    if (how < 0 || how > 2) return -EINVAL;
    if (how != 1) in_->CloseReader(), in_->CloseWriter();
    if (how != 0) out_->CloseWriter();
    return 0;
  }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeSocket | 0777;
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }
  int64_t Ioctl(uint64_t request, uint64_t argument) override {
    constexpr uint64_t kBytesReadable = 0x541b;  // FIONREAD
    if (request != kBytesReadable) return -ENOTTY;
    const auto count = static_cast<int32_t>(in_->available());
    return PutUser(reinterpret_cast<int32_t*>(argument), count) ? 0 : -EFAULT;
  }
  uint32_t Poll() override {
    uint32_t events = 0;
    if (in_->readable()) events |= kPollIn;
    if (in_->writer_closed()) events |= kPollReadHup;
    const bool deaf = out_->reader_closed() || out_->writer_closed();
    if (in_->writer_closed() && deaf) events |= kPollHup;
    if (out_->writable()) events |= kPollOut;
    return events;
  }
  WaitQueue* wait_queue() override { return &queue_; }
  int64_t Name(char* buffer, uint64_t size) override;
  int type() const { return type_; }

 private:
  Channel* in_;
  Channel* out_;
  int type_;
  WaitQueue queue_;
};

int64_t SocketFile::Name(char* buffer, uint64_t size) {
  constexpr char kName[] = "socket:[1]";
  uint64_t n = 0;
  for (; n < sizeof kName - 1 && n < size; ++n) buffer[n] = kName[n];
  return static_cast<int64_t>(n);
}

int64_t CreateSocketPair(File** first, File** second, int type, uint32_t status_flags) {
  Channel* a = Channel::Create();
  Channel* b = Channel::Create();
  File* one = nullptr;
  File* two = nullptr;
  if (a != nullptr && b != nullptr) {
    a->message_borders = b->message_borders = type != 1;  // SOCK_STREAM
    one = New<SocketFile>(a, b, type);
    two = New<SocketFile>(b, a, type);
  }
  if (a != nullptr) a->Unref();  // the files hold their own references
  if (b != nullptr) b->Unref();
  if (one == nullptr || two == nullptr) {
    if (one != nullptr) one->Unref();
    if (two != nullptr) two->Unref();
    return -ENOMEM;
  }
  one->status_flags = two->status_flags = status_flags | kReadWriteMode;
  *first = one;
  *second = two;
  return 0;
}

SocketFile* AsSocket(File* file) {
  Stat stat;
  if (file == nullptr || file->GetStat(&stat) != 0) return nullptr;
  // Only SocketFile reports this type.
  return (stat.mode & kStatModeMask) == kStatModeSocket ? static_cast<SocketFile*>(file) : nullptr;
}

int64_t SocketReceive(SocketFile* socket, void* user, uint64_t size, uint32_t flags) {
  return socket->Receive(user, size, flags);
}
int64_t SocketSend(SocketFile* socket, const void* user, uint64_t size, uint32_t flags) {
  return socket->Send(user, size, flags);
}
int64_t SocketShutdown(SocketFile* socket, int how) { return socket->Shutdown(how); }
int SocketType(const SocketFile* socket) { return socket->type(); }

}  // namespace usetl::kernel
