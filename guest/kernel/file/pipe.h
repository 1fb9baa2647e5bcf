// pipe.h: byte channels: what pipes and connected sockets are made of.
#ifndef USETL_GUEST_KERNEL_FILE_PIPE_H_
#define USETL_GUEST_KERNEL_FILE_PIPE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

// One direction: a bounded buffer with a reading and a writing end. It takes the kernel's memory
// while something is in it.
class Channel {
 public:
  static constexpr uint64_t kCapacity = 64 << 10;
  static constexpr uint64_t kAtomic = 4096;  // PIPE_BUF

  static Channel* Create();  // null: out of memory
  void Ref() { ++references_; }
  void Unref();

  // Each write is read as a whole (SOCK_SEQPACKET); one of up to kLargestMessage bytes.
  bool message_borders = false;
  static constexpr uint64_t kLargestMessage = 208 << 10;

  // Both wait until `deadline` (monotonic ns), then -EAGAIN. `whole`, unless null, gets the size of
  // the message of which `user` may have had room for the beginning only.
  int64_t Read(void* user, uint64_t size, uint64_t deadline, bool peek, uint64_t* whole = nullptr);
  // -EPIPE when nobody reads or this end is closed (no signal is sent here), -ENOBUFS.
  int64_t Write(const void* user, uint64_t size, uint64_t deadline);
  void CloseReader();
  // `error`: what the reader gets once (-errno) when it has read everything.
  void CloseWriter(int64_t error = 0);
  // Reading ends with what is there, whatever the writer does; it is not told.
  void StopReading();
  uint64_t available() const { return used_ - kHeader * messages_; }
  bool reader_closed() const { return reader_closed_; }
  bool writer_closed() const { return writer_closed_; }
  bool ended() const { return writer_closed_ || reading_stopped_; }
  bool readable() const { return used_ != 0 || ended(); }
  bool writable() const {
    return reader_closed_ || room() >= (message_borders ? capacity() / 2 : kAtomic);
  }
  // Both ends' files listen here; a pair of sockets sets one queue for both channels.
  WaitQueue* readers = nullptr;
  WaitQueue* writers = nullptr;

 private:
  static constexpr uint64_t kHeader = sizeof(uint32_t);  // of a message: its size

  uint64_t capacity() const { return message_borders ? 256 << 10 : kCapacity; }
  uint64_t room() const { return capacity() - used_; }
  // Room for so much more in the buffer, as far as capacity() goes. False: out of memory.
  bool Reserve(uint64_t size);
  void Take(uint64_t size);
  uint32_t FirstMessage() const;
  bool CopyIn(const void* user, uint64_t size);
  bool CopyOut(void* user, uint64_t size, uint64_t from);

  uint32_t references_ = 1;
  uint8_t* buffer_ = nullptr;
  uint64_t size_ = 0;  // of the buffer
  uint64_t head_ = 0;  // position of the first byte
  uint64_t used_ = 0;
  uint64_t messages_ = 0;  // with message_borders
  bool reading_stopped_ = false;
  bool reader_closed_ = false;
  bool writer_closed_ = false;
  int64_t error_ = 0;
};

// pipe2(2): two files, or -errno.
int64_t CreatePipe(File** reader, File** writer, uint32_t status_flags);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_PIPE_H_
