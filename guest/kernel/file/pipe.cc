#include "guest/kernel/file/pipe.h"

#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

Channel* Channel::Create() { return New<Channel>(); }

void Channel::Unref() {
  if (--references_ != 0) return;
  if (size_ != 0) FreePages(buffer_, size_ / kPage);
  Delete(this);
}

bool Channel::Reserve(uint64_t size) {
  const uint64_t wanted = size < room() ? used_ + size : capacity();
  if (wanted <= size_) return true;
  uint64_t larger = kPage;
  while (larger < wanted) larger *= 2;
  if (!MayBuffer(larger / kPage)) return false;
  auto* buffer = static_cast<uint8_t*>(AllocatePages(larger / kPage));
  if (buffer == nullptr) return false;
  if (size_ != 0) {
    const uint64_t first = used_ < size_ - head_ ? used_ : size_ - head_;
    memcpy(buffer, buffer_ + head_, first);
    memcpy(buffer + first, buffer_, used_ - first);
    FreePages(buffer_, size_ / kPage);
  }
  buffer_ = buffer;
  size_ = larger;
  head_ = 0;
  return true;
}

void Channel::Take(uint64_t size) {
  head_ = (head_ + size) % size_;
  used_ -= size;
  if (used_ == 0) {
    FreePages(buffer_, size_ / kPage);
    size_ = head_ = 0;
  }
}

uint32_t Channel::FirstMessage() const {
  uint32_t message = 0;
  for (uint64_t i = 0; i < kHeader; ++i) {
    reinterpret_cast<uint8_t*>(&message)[i] = buffer_[(head_ + i) % size_];
  }
  return message;
}

bool Channel::CopyIn(const void* user, uint64_t size) {
  const uint64_t at = (head_ + used_) % size_;
  const uint64_t first = size < size_ - at ? size : size_ - at;
  const auto* from = static_cast<const uint8_t*>(user);
  if (!CopyFromUser(buffer_ + at, from, first)) return false;
  return CopyFromUser(buffer_, from + first, size - first);
}

bool Channel::CopyOut(void* user, uint64_t size, uint64_t from) {
  const uint64_t at = from % size_;
  const uint64_t first = size < size_ - at ? size : size_ - at;
  auto* to = static_cast<uint8_t*>(user);
  if (!CopyToUser(to, buffer_ + at, first)) return false;
  return CopyToUser(to + first, buffer_, size - first);
}

int64_t Channel::Read(void* user, uint64_t size, uint64_t deadline, bool peek, uint64_t* whole) {
  if (size == 0 && !message_borders) return 0;
  while (used_ == 0) {
    if (ended()) {
      const int64_t error = error_;
      error_ = 0;
      return error;
    }
    if (deadline == kAtOnce) return -EAGAIN;
    Waiter waiter(g_current);
    readers->Add(&waiter);
    const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
    if (used_ != 0) break;
    if (reason == WakeReason::kSignal) return Interrupted(deadline);
    if (reason == WakeReason::kTimeout) return -EAGAIN;
  }
  const uint64_t header = message_borders ? kHeader : 0;
  const uint64_t length = message_borders ? FirstMessage() : used_;
  const uint64_t count = size < length ? size : length;
  if (!CopyOut(user, count, head_ + header)) return -EFAULT;
  if (whole != nullptr) *whole = length;
  if (!peek) {
    Take(message_borders ? header + length : count);
    if (message_borders) --messages_;
    writers->Wake();
  }
  return static_cast<int64_t>(count);
}

int64_t Channel::Write(const void* user, uint64_t size, uint64_t deadline) {
  const auto* from = static_cast<const uint8_t*>(user);
  const uint64_t header = message_borders ? kHeader : 0;
  if (size + header == 0) return reader_closed_ ? -EPIPE : 0;
  if (message_borders && size > kLargestMessage) return -EMSGSIZE;
  // Messages, and writes up to PIPE_BUF, go in whole or not at all.
  const bool whole = message_borders || size <= kAtomic;
  const uint64_t needed = whole ? size + header : 1;
  uint64_t done = 0;
  do {
    if (reader_closed_ || writer_closed_) return done != 0 ? static_cast<int64_t>(done) : -EPIPE;
    uint64_t chunk = 0;
    if (room() >= needed) {
      chunk = size - done < room() - header ? size - done : room() - header;
      if (!Reserve(chunk + header)) {
        if (used_ == 0) return done != 0 ? static_cast<int64_t>(done) : -ENOBUFS;
        // What the buffer has room for as it is; else whoever reads makes some.
        chunk = whole ? 0 : size_ - used_;
      }
    }
    const bool empty_message = message_borders && size == 0 && size_ - used_ >= header;
    if (chunk == 0 && !empty_message) {
      int64_t error = -EAGAIN;
      if (deadline != kAtOnce) {
        Waiter waiter(g_current);
        writers->Add(&waiter);
        const WakeReason reason = Sleep(deadline, /*interruptible=*/true);
        if (reason == WakeReason::kWoken) continue;
        if (reason == WakeReason::kSignal) error = Interrupted(deadline);
      }
      return done != 0 ? static_cast<int64_t>(done) : error;
    }
    if (message_borders) {
      const auto message = static_cast<uint32_t>(size);
      for (uint64_t i = 0; i < header; ++i) {
        buffer_[(head_ + used_ + i) % size_] = reinterpret_cast<const uint8_t*>(&message)[i];
      }
      used_ += header;
    }
    if (!CopyIn(from + done, chunk)) {
      used_ -= header;
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    if (message_borders) ++messages_;
    used_ += chunk;
    done += chunk;
    readers->Wake();
  } while (done < size);
  return static_cast<int64_t>(done);
}

void Channel::CloseReader() {
  reader_closed_ = true;
  writers->Wake();
}

void Channel::CloseWriter(int64_t error) {
  writer_closed_ = true;
  if (error != 0) error_ = error;
  readers->Wake();
  writers->Wake();
}

void Channel::StopReading() {
  reading_stopped_ = true;
  readers->Wake();
}

namespace {

class PipeFile final : public File {
 public:
  PipeFile(Channel* channel, bool writer) : channel_(channel), writer_(writer) {
    (writer_ ? channel_->writers : channel_->readers) = &queue_;
  }
  ~PipeFile() override {
    if (writer_) {
      channel_->CloseWriter();
      channel_->writers = &orphans_;
    } else {
      channel_->CloseReader();
      channel_->readers = &orphans_;
    }
    channel_->Unref();
  }
  int64_t Read(void* user, uint64_t size) override {
    if (writer_) return -EBADF;
    return channel_->Read(user, size, Deadline(), false);
  }
  int64_t Write(const void* user, uint64_t size) override {
    if (!writer_) return -EBADF;
    const int64_t written = channel_->Write(user, size, Deadline());
    if (written == -EPIPE) SendSignal(g_current, {kSigPipe, 0, 0, 0});
    return written;
  }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeFifo | 0600;
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }
  int64_t Ioctl(uint64_t request, uint64_t argument) override {
    constexpr uint64_t kBytesReadable = 0x541b;  // FIONREAD
    if (request != kBytesReadable) return -ENOTTY;
    const auto count = static_cast<int32_t>(channel_->available());
    return PutUser(reinterpret_cast<int32_t*>(argument), count) ? 0 : -EFAULT;
  }
  uint32_t Poll() override {
    if (writer_) {
      return (channel_->writable() ? kPollOut : 0) | (channel_->reader_closed() ? kPollErr : 0);
    }
    return (channel_->available() ? kPollIn : 0) | (channel_->writer_closed() ? kPollHup : 0);
  }
  WaitQueue* wait_queue() override { return &queue_; }

 private:
  uint64_t Deadline() const { return status_flags & kNonBlock ? kAtOnce : kNever; }

  static WaitQueue orphans_;  // nobody ever waits here: the end is closed

  Channel* channel_;
  bool writer_;
  WaitQueue queue_;
};

WaitQueue PipeFile::orphans_;

}  // namespace

int64_t CreatePipe(File** reader, File** writer, uint32_t status_flags) {
  Channel* channel = Channel::Create();
  if (channel == nullptr) return -ENOMEM;
  channel->Ref();
  *reader = New<PipeFile>(channel, false);
  *writer = New<PipeFile>(channel, true);
  if (*reader == nullptr || *writer == nullptr) {
    if (*reader != nullptr)
      (*reader)->Unref();
    else
      channel->Unref();
    if (*writer != nullptr)
      (*writer)->Unref();
    else
      channel->Unref();
    return -ENOMEM;
  }
  (*reader)->status_flags = status_flags | kReadOnly;
  (*writer)->status_flags = status_flags | kWriteOnly;
  return 0;
}

}  // namespace usetl::kernel
