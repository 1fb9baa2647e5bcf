// pipe.h: byte channels: what pipes and connected sockets are made of.
#ifndef USETL_GUEST_KERNEL_FILE_PIPE_H_
#define USETL_GUEST_KERNEL_FILE_PIPE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

// One direction: a bounded buffer with a reading and a writing end. It takes the kernel's memory
// for what is in it, and one page from the first byte on.
class Channel {
 public:
  static constexpr uint64_t kCapacity = 64 << 10;
  static constexpr uint64_t kAtomic = 4096;  // PIPE_BUF

  static Channel* Create();  // null: out of memory
  void Ref() { ++references_; }
  void Unref();

  // `message_borders`: each write is read as a whole (SOCK_DGRAM, SOCK_SEQPACKET).
  bool message_borders = false;

  // Both wait until `deadline` (monotonic ns), then -EAGAIN.
  int64_t Read(void* user, uint64_t size, uint64_t deadline, bool peek);
  // -EPIPE when nobody reads (no signal is sent here), -ENOMEM.
  int64_t Write(const void* user, uint64_t size, uint64_t deadline);
  void CloseReader();
  // `error`: what the reader gets once (-errno) when it has read everything.
  void CloseWriter(int64_t error = 0);
  uint64_t available() const { return used_; }
  bool reader_closed() const { return reader_closed_; }
  bool writer_closed() const { return writer_closed_; }
  bool readable() const { return used_ != 0 || writer_closed_; }
  bool writable() const { return reader_closed_ || kCapacity - used_ >= kAtomic; }
  // Both ends' files listen here; a pair of sockets sets one queue for both channels.
  WaitQueue* readers = nullptr;
  WaitQueue* writers = nullptr;

 private:
  bool Reserve(uint64_t size);  // room for so much more, as far as kCapacity goes
  bool CopyIn(const void* user, uint64_t size);
  bool CopyOut(void* user, uint64_t size, uint64_t from);

  uint32_t references_ = 1;
  uint8_t* buffer_ = nullptr;
  uint64_t size_ = 0;  // of the buffer
  uint64_t head_ = 0;  // position of the first byte
  uint64_t used_ = 0;
  bool reader_closed_ = false;
  bool writer_closed_ = false;
  int64_t error_ = 0;
};

// pipe2(2): two files, or -errno.
int64_t CreatePipe(File** reader, File** writer, uint32_t status_flags);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_PIPE_H_
