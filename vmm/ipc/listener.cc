#include "vmm/ipc/listener.h"

#include <unistd.h>

#include <utility>

#include "vmm/ipc/socket.h"

namespace usetl::ipc {

SocketName::SocketName(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  path_ = path;
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

void SocketName::Remove() const {
  struct stat info;
  if (path_.empty() || lstat(path_.c_str(), &info) != 0) return;
  if (info.st_dev == device_ && info.st_ino == inode_) unlink(path_.c_str());
}

Result<Listener> Listener::Create(const std::string& path) {
  Result<Fd> fd = Listen(path);
  if (!fd.ok()) return fd.status();
  Listener listener;
  listener.fd_ = std::move(*fd);
  listener.name_ = SocketName(path);
  return listener;
}

Listener& Listener::operator=(Listener&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  return *this;
}

// Before the descriptor: an inode that is open is given to no other file.
Listener::~Listener() {
  if (fd_.ok()) name_.Remove();
}

}  // namespace usetl::ipc
