// listener.h: listening unix sockets, and their names in the file system.
#ifndef USETL_VMM_IPC_LISTENER_H_
#define USETL_VMM_IPC_LISTENER_H_

#include <sys/stat.h>

#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::ipc {

// The name of one socket. Whoever has taken the path since keeps it.
class SocketName {
 public:
  SocketName() = default;  // of none
  // Of what lies at `path` now; of none when nothing does.
  explicit SocketName(const std::string& path);

  // Takes the name away, if it is still that socket's.
  void Remove() const;

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Listens; its name goes with it. A forked child that leaves by _exit() keeps the name.
class Listener {
 public:
  // As Listen().
  static Result<Listener> Create(const std::string& path);

  Listener() = default;
  Listener(Listener&&) = default;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener();

  int get() const { return fd_.get(); }

 private:
  Fd fd_;
  SocketName name_;
};

}  // namespace usetl::ipc

#endif  // USETL_VMM_IPC_LISTENER_H_
