#include "guest/kernel/socket/names.h"

#include "guest/kernel/fs/inode.h"
#include "guest/kernel/fs/operations.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

// As Linux has them: /proc/sys/net/ipv4/ip_local_port_range.
constexpr uint16_t kFirstFreePort = 32768, kLastFreePort = 60999;

// Whether a socket bound to `name` takes what is sent to `to`.
bool Takes(const SocketAddress& name, bool only_v6, const SocketAddress& to) {
  if (SameIp(name, to)) return true;
  if (!IsUnspecified(name)) return false;
  if (IsV4(name)) return IsV4(to);
  return !only_v6 || !IsV4(to);
}

bool SameName(const SocketAddress& a, const SocketAddress& b) {
  return a.path_size == b.path_size && memcmp(a.path, b.path, a.path_size) == 0;
}

}  // namespace

Socket* SocketNames::first_ = nullptr;

void SocketNames::Add(Socket* socket, const SocketAddress& address) {
  socket->local_ = address;
  socket->named_ = true;
  socket->next_named_ = first_;
  first_ = socket;
}

void SocketNames::Release(Socket* socket) {
  if (!socket->named_) return;
  Socket** link = &first_;
  while (*link != nullptr && *link != socket) link = &(*link)->next_named_;
  if (*link != nullptr) *link = socket->next_named_;
  socket->named_ = false;
  if (socket->inode_ != nullptr) UnrefInode(socket->inode_);
  socket->inode_ = nullptr;
}

void SocketNames::Forget() {
  first_ = nullptr;
  ForgetDatagramSockets();
}

bool SocketNames::Conflicts(const Socket& socket, const SocketAddress& address) {
  for (const Socket* other = first_; other != nullptr; other = other->next_named_) {
    if (other->domain_ == kUnix || other->type_ != socket.type_) continue;
    if (other->local_.port != address.port) continue;
    const SocketOptions &a = socket.options_, &b = other->options_;
    if (!Takes(address, a.only_v6, other->local_) && !Takes(other->local_, b.only_v6, address)) {
      continue;
    }
    if (a.reuse_port && b.reuse_port) continue;
    if (a.reuse_address && b.reuse_address && !other->listening()) continue;
    return true;
  }
  return false;
}

bool SocketNames::MayListen(const Socket& socket) {
  if (socket.domain_ == kUnix) return true;
  for (const Socket* other = first_; other != nullptr; other = other->next_named_) {
    if (other == &socket || other->domain_ == kUnix || !other->listening()) continue;
    if (other->local_.port != socket.local_.port) continue;
    if (other->options_.reuse_port && socket.options_.reuse_port) continue;
    if (Takes(other->local_, other->options_.only_v6, socket.local_) ||
        Takes(socket.local_, socket.options_.only_v6, other->local_)) {
      return false;
    }
  }
  return true;
}

int64_t SocketNames::TakePort(Socket* socket, SocketAddress address) {
  static uint16_t next = kFirstFreePort;
  if (!IsUnspecified(address) && !IsLoopback(address)) return -EADDRNOTAVAIL;
  if (address.port != 0) {
    if (Conflicts(*socket, address)) return -EADDRINUSE;
    Add(socket, address);
    return 0;
  }
  for (uint32_t tries = 0; tries <= kLastFreePort - kFirstFreePort; ++tries) {
    address.port = next;
    next = next == kLastFreePort ? kFirstFreePort : next + 1;
    if (Conflicts(*socket, address)) continue;
    Add(socket, address);
    return 0;
  }
  return -EADDRINUSE;
}

int64_t SocketNames::TakePath(Socket* socket, const SocketAddress& address) {
  SocketAddress name = address;
  if (name.path_size == 0) {
    // A free abstract name of five hexadecimal digits: unix(7), autobind.
    static uint32_t next = 0;
    constexpr char kDigits[] = "0123456789abcdef";
    name.path_size = 6;
    for (uint32_t i = 5, v = next++; i != 0; --i, v >>= 4) name.path[i] = kDigits[v & 15];
  }
  if (name.abstract()) {
    for (const Socket* other = first_; other != nullptr; other = other->next_named_) {
      if (other->domain_ == kUnix && other->inode_ == nullptr && SameName(other->local_, name)) {
        return -EADDRINUSE;
      }
    }
    Add(socket, name);
    return 0;
  }
  Inode* inode;
  const int64_t error = MakeSocketName(CurrentDirectory(), name.path, &inode);
  if (error != 0) return error == -EEXIST ? -EADDRINUSE : error;
  RefInode(inode);
  socket->inode_ = inode;
  Add(socket, name);
  return 0;
}

int64_t SocketNames::Take(Socket* socket, const SocketAddress& address) {
  return socket->domain_ == kUnix ? TakePath(socket, address) : TakePort(socket, address);
}

Socket* SocketNames::FindInet(const Socket& from, const SocketAddress& to) {
  Socket* found = nullptr;
  for (Socket* other = first_; other != nullptr; other = other->next_named_) {
    if (other->domain_ == kUnix || other->type_ != from.type_) continue;
    if (other->local_.port != to.port || !Takes(other->local_, other->options_.only_v6, to)) {
      continue;
    }
    if (other->type_ == kStream && !other->listening()) continue;
    // A connected datagram socket hears its peer only.
    if (other->type_ == kDatagram && other->connected() &&
        (other->peer_.port != from.local_.port ||
         (!SameIp(other->peer_, from.local_) && !IsUnspecified(from.local_)))) {
      continue;
    }
    if (found == nullptr || !IsUnspecified(other->local_)) found = other;
  }
  return found;
}

int64_t SocketNames::Find(const Socket& from, const SocketAddress& to, Socket** found) {
  *found = nullptr;
  if (from.domain_ != kUnix) {
    const SocketAddress target = IsUnspecified(to) ? LoopbackLike(to, to.port) : to;
    if (!IsLoopback(target)) return -ENETUNREACH;
    *found = FindInet(from, target);
    return *found == nullptr ? -ECONNREFUSED : 0;
  }
  Inode* inode = nullptr;
  if (!to.abstract()) {
    const int64_t error = FindInode(CurrentDirectory(), to.path, /*follow=*/true, &inode);
    if (error == -EPERM) return -ECONNREFUSED;
    if (error != 0) return error;
  }
  for (Socket* other = first_; other != nullptr; other = other->next_named_) {
    if (other->domain_ != kUnix || other->inode_ != inode) continue;
    if (inode == nullptr && !SameName(other->local_, to)) continue;
    if (other->type_ != from.type_) return -EPROTOTYPE;
    *found = other;
    return 0;
  }
  return -ECONNREFUSED;
}

}  // namespace usetl::kernel
