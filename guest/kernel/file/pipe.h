// pipe.h: byte channels: pipes and connected pairs of sockets.
#ifndef USETL_GUEST_KERNEL_FILE_PIPE_H_
#define USETL_GUEST_KERNEL_FILE_PIPE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

// One direction: a bounded buffer with a reading and a writing end.
class Channel {
 public:
  static constexpr uint64_t kCapacity = 64 << 10;
  static constexpr uint64_t kAtomic = 4096;  // PIPE_BUF

  static Channel* Create();  // null: out of memory
  void Ref() { ++references_; }
  void Unref();

  // `message_borders`: each write is read as a whole (SOCK_DGRAM, SOCK_SEQPACKET).
  bool message_borders = false;

  int64_t Read(void* user, uint64_t size, bool block, bool peek);
  // -EPIPE when nobody reads (no signal is sent here).
  int64_t Write(const void* user, uint64_t size, bool block);
  void CloseReader();
  void CloseWriter();
  uint64_t available() const { return used_; }
  bool reader_closed() const { return reader_closed_; }
  bool writer_closed() const { return writer_closed_; }
  bool readable() const { return used_ != 0 || writer_closed_; }
  bool writable() const { return reader_closed_ || kCapacity - used_ >= kAtomic; }
  // Both ends' files listen here; a pair of sockets sets one queue for both channels.
  WaitQueue* readers = nullptr;
  WaitQueue* writers = nullptr;

 private:
  void PutBytes(const uint8_t* from, uint64_t size, uint64_t* at);
  bool CopyIn(const void* user, uint64_t size);
  bool CopyOut(void* user, uint64_t size, uint64_t from);

  uint32_t references_ = 1;
  uint8_t* buffer_ = nullptr;
  uint64_t head_ = 0;  // position of the first byte
  uint64_t used_ = 0;
  bool reader_closed_ = false;
  bool writer_closed_ = false;
};

// pipe2(2): two files, or -errno.
int64_t CreatePipe(File** reader, File** writer, uint32_t status_flags);
// socketpair(2) for AF_UNIX; `type` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
int64_t CreateSocketPair(File** first, File** second, int type, uint32_t status_flags);

// A connected socket of a pair; null for any other file.
class SocketFile;
SocketFile* AsSocket(File* file);
int64_t SocketReceive(SocketFile* socket, void* user, uint64_t size, uint32_t flags);
int64_t SocketSend(SocketFile* socket, const void* user, uint64_t size, uint32_t flags);
int64_t SocketShutdown(SocketFile* socket, int how);
int SocketType(const SocketFile* socket);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_PIPE_H_
