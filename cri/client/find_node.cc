#include "cri/client/find_node.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "vmm/base/fd.h"
#include "vmm/base/installation.h"
#include "vmm/ipc/socket.h"

namespace usetl::cri {

Status FindNode(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    return Status(ENAMETOOLONG, "the path of a socket has 107 bytes at most: " + socket);
  }
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const Fd there(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!there.ok()) return Status::Errno("socket");
  if (connect(there.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    return Status();
  }
  const Status failed = Status::Errno("connect " + socket);
  const int error = failed.code();
  const std::string node = std::filesystem::path(socket).parent_path();
  if (error == EACCES && socket == CriSocket(node)) return NodeOfAnother(node);
  if (error != ENOENT && error != ECONNREFUSED) return failed;
  if (socket != CriSocket(node)) return Status(ENOENT, "nothing serves the CRI at " + socket);
  const std::string command =
      "usetl up --cri" + (node == kDefaultNode ? std::string() : " --node " + node);
  if (ipc::Connect(VmmdSocket(node)).ok()) {
    return Status(ENOENT, "the node in " + node + " runs no pods (start it with: " + command + ")");
  }
  return Status(ENOENT, "no node in " + node + " (start one: " + command + ")");
}

}  // namespace usetl::cri
