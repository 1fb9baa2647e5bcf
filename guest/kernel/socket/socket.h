// socket.h: the base of all sockets. What is connected is connected within this USF; what a
// function wants from elsewhere goes through the agent's HTTP device.
//
// Results are those of the system calls: negative errno values. Addresses are kernel memory, data
// is the application's.
#ifndef USETL_GUEST_KERNEL_SOCKET_SOCKET_H_
#define USETL_GUEST_KERNEL_SOCKET_SOCKET_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/socket/address.h"
#include "guest/kernel/socket/options.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

struct Inode;

class Socket : public File {
 public:
  Socket(int domain, int type);
  ~Socket() override;

  Socket* AsSocket() override { return this; }
  int64_t Read(void* user, uint64_t size) override { return Receive(user, size, 0, nullptr); }
  int64_t Write(const void* user, uint64_t size) override { return Send(user, size, 0, nullptr); }
  int64_t GetStat(Stat* stat) override;
  int64_t Ioctl(uint64_t request, uint64_t argument) override;
  int64_t Name(char* buffer, uint64_t size) override;
  WaitQueue* wait_queue() override { return &queue_; }

  int64_t Bind(const SocketAddress& address);
  virtual int64_t Listen(int backlog) = 0;
  // A socket with one reference.
  virtual int64_t Accept(Socket** accepted) = 0;
  virtual int64_t Connect(const SocketAddress& to) = 0;
  // `to` null: the peer.
  virtual int64_t Send(const void* user, uint64_t size, uint32_t flags,
                       const SocketAddress* to) = 0;
  // `from` null: who sent it does not matter. With kMessageTruncate the size of the whole message.
  virtual int64_t Receive(void* user, uint64_t size, uint32_t flags, SocketAddress* from) = 0;
  virtual int64_t Shutdown(int how) = 0;
  // Connects two fresh sockets of one domain and type. False: out of memory, nothing has changed.
  virtual bool Join(Socket* other) = 0;
  // Takes a datagram from a socket that is called `from`. -EAGAIN: there is no room, and `*full` is
  // woken when there is.
  virtual int64_t Deliver(const SocketAddress& from, const void* user, uint64_t size,
                          WaitQueue** full);
  // Whether it would be taken.
  virtual bool HasRoom() const { return true; }
  virtual bool connected() const = 0;
  virtual bool listening() const { return false; }
  virtual uint64_t available() const = 0;  // FIONREAD

  int domain() const { return domain_; }
  int type() const { return type_; }
  const SocketAddress& local() const { return local_; }
  const SocketAddress& peer() const { return peer_; }
  SocketOptions& options() { return options_; }

 protected:
  // Until when a call may wait that has these flags.
  uint64_t ReceiveDeadline(uint32_t flags) const { return Deadline(flags, options_.receive_ns); }
  uint64_t SendDeadline(uint32_t flags) const { return Deadline(flags, options_.send_ns); }
  // A port of its own for a socket of the Internet that has none. 0 or -EADDRINUSE.
  int64_t BindAnyPort(const SocketAddress& like);

  const uint64_t number_;
  const int domain_;
  const int type_;
  SocketAddress local_;
  SocketAddress peer_;
  SocketOptions options_;
  WaitQueue queue_;

 private:
  friend class SocketNames;
  uint64_t Deadline(uint32_t flags, uint64_t timeout_ns) const;

  Socket* next_named_ = nullptr;  // of SocketNames
  bool named_ = false;
  Inode* inode_ = nullptr;  // AF_UNIX: the name in the file system
};

// socket(2), socketpair(2); `type` without flags. 0 or -errno.
int64_t CreateSocket(int domain, int type, int protocol, Socket** socket);
int64_t CreateSocketPair(int type, Socket** first, Socket** second);
Socket* NewDatagramSocket(int domain);  // null: out of memory
void ForgetDatagramSockets();           // in a clone: of another process

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_SOCKET_SOCKET_H_
