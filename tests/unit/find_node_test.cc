#include "cri/client/find_node.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/unit/temporary_directory.h"
#include "vmm/base/fd.h"
#include "vmm/base/installation.h"
#include "vmm/ipc/socket.h"

namespace usetl::cri {
namespace {

TEST(FindNode, SaysHowToStartOne) {
  const test::TemporaryDirectory made;
  const std::string node = made.path(), socket = CriSocket(node);
  EXPECT_EQ(FindNode(socket).message(),
            "no node in " + node + " (start one: usetl up --cri --node " + node + ")");
  EXPECT_EQ(FindNode(node + "/other.sock").message(),
            "nothing serves the CRI at " + node + "/other.sock");
  const Result<Fd> vmmd = ipc::Listen(VmmdSocket(node));
  ASSERT_TRUE(vmmd.ok());
  EXPECT_EQ(
      FindNode(socket).message(),
      "the node in " + node + " runs no pods (start it with: usetl up --cri --node " + node + ")");
  sockaddr_un address{AF_UNIX, {}};
  std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
  const Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(server.get(), 1), 0);
  EXPECT_TRUE(FindNode(socket).ok());
}

}  // namespace
}  // namespace usetl::cri
