#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "gtest/gtest.h"
#include "tests/unit/temporary_directory.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/pod/protocol.h"
#include "vmm/proxy/pod/worker.h"

namespace usetl::pod {
namespace {

// The worker of a container with this start, which usetld has given up or waits for, as a process;
// true: it asked usetl-vmmd for a USF.
bool Claims(bool given_up) {
  const test::TemporaryDirectory directory;
  Result<std::pair<Fd, Fd>> client = ipc::Pair();
  Result<std::pair<Fd, Fd>> vmmd = ipc::Pair();
  const Result<Fd> control = ipc::Listen(directory.path().string() + "/control");
  const Fd network(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd exit(
      open((directory.path().string() + "/exit").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!client.ok() || !vmmd.ok() || !control.ok() || !network.ok() || !exit.ok()) {
    ADD_FAILURE() << "cannot set the scene";
    return false;
  }
  JoinRecord join{};
  join.version = kVersion;
  const std::array join_fds = {network.get(), control->get(), exit.get()};
  EXPECT_TRUE(ipc::Send(client->first.get(), ipc::Bytes(join), {}, join_fds).ok());
  const std::string text =
      R"({"id":"c","runtime":"python3.11","tenant":"t","memory":0,"mode":"http","path":"/f.py",)"
      R"("target":"","cwd":"/","argv":[],"env":{},"hostname":"","ports":[],"allow":[],"files":[],)"
      R"("directories":[],"links":[],"read_only_root":false,"timeout_ms":0,"start_timeout_ms":1000})";
  StartRecord start{};
  start.text_size = static_cast<uint32_t>(text.size());
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  EXPECT_TRUE(ipc::Send(client->first.get(), ipc::Bytes(start), bytes).ok());
  if (given_up) client->first.Reset();
  const pid_t worker = fork();
  if (worker == 0) {
    client->first.Reset();
    vmmd->first.Reset();
    Work(
        std::move(client->second), std::move(vmmd->second), etl::ObjectStore(),
        [] { return Status(); }, [] { return Status(); });
    _exit(0);
  }
  client->second.Reset();
  vmmd->second.Reset();
  const bool claimed = ipc::Receive(vmmd->first.get()).ok();
  vmmd->first.Reset();
  EXPECT_EQ(waitpid(worker, nullptr, 0), worker);
  return claimed;
}

TEST(PodWorker, RunsNothingThatWasGivenUp) {
  if (geteuid() != 0) GTEST_SKIP() << "entering a network namespace takes root";
  EXPECT_TRUE(Claims(false));
  EXPECT_FALSE(Claims(true));
}

}  // namespace
}  // namespace usetl::pod
