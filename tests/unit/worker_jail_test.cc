// What a worker may do once its filter is applied, and what kills it.
#include "vmm/proxy/daemon/worker_jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

#include "vmm/proxy/pod/mount_paths.h"

namespace usetl {
namespace {

// How a child ends that applies the filter and calls `act`; wait(2)'s status.
int EndOf(const std::function<void()>& act, WorkerFilter::For whom = WorkerFilter::For::kClient) {
  const Result<WorkerFilter> filter = WorkerFilter::Compile(whom);
  EXPECT_TRUE(filter.ok()) << filter.status().message();
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) _exit(2);
    if (!filter->Apply().ok()) _exit(3);
    act();
    _exit(0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

bool Kills(const std::function<void()>& act, WorkerFilter::For whom = WorkerFilter::For::kClient) {
  const int status = EndOf(act, whom);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST(WorkerJail, KillsWhatNoWorkerNeeds) {
  EXPECT_TRUE(Kills([] { (void)!fork(); }));
  EXPECT_TRUE(Kills([] { execl("/bin/true", "true", nullptr); }));
  EXPECT_TRUE(Kills([] { kill(getppid(), 0); }));
  EXPECT_TRUE(Kills([] { ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr); }));
  EXPECT_TRUE(Kills([] { listen(0, 1); }));
  EXPECT_TRUE(Kills([] { (void)!ftruncate(0, 0); }));
  EXPECT_TRUE(Kills([] { unshare(CLONE_NEWUSER); }));
  EXPECT_TRUE(Kills([] { socket(AF_NETLINK, SOCK_RAW, 12); }));  // netfilter
  EXPECT_TRUE(Kills([] { socket(AF_PACKET, SOCK_RAW, 0); }));
  EXPECT_TRUE(Kills([] { prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }));
  EXPECT_TRUE(Kills([] { syscall(SYS_io_uring_setup, 1, nullptr); }));
}

TEST(WorkerJail, LetsContainersListen) {
  EXPECT_EQ(EndOf([] { listen(0, 1); }, WorkerFilter::For::kContainer), 0);
  EXPECT_TRUE(Kills([] { (void)!fork(); }, WorkerFilter::For::kContainer));
  EXPECT_TRUE(Kills([] { unshare(CLONE_NEWNET); }, WorkerFilter::For::kContainer));
}

TEST(WorkerJail, LetsNoMemoryBecomeCode) {
  EXPECT_TRUE(Kills(
      [] { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }));
  EXPECT_TRUE(Kills([] {
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
  }));
}

TEST(WorkerJail, LooksNamesUpInAThread) {
  EXPECT_EQ(EndOf([] {
              std::thread([] {
                addrinfo* found = nullptr;
                if (getaddrinfo("localhost", "80", nullptr, &found) == 0) freeaddrinfo(found);
              }).join();
            }),
            0);
}

TEST(WorkerJail, MountServiceHasFilesBelowItsMountsOnly) {
  constexpr auto kService = WorkerFilter::For::kMountService;
  EXPECT_EQ(EndOf([] { (void)!mkdirat(-1, "x", 0700); }, kService), 0);
  EXPECT_EQ(EndOf([] { syscall(pod::kAccessAt, -1, "", R_OK, AT_EMPTY_PATH); }, kService), 0);
  EXPECT_TRUE(Kills([] { (void)!access("/etc/passwd", R_OK); }, kService));
  EXPECT_TRUE(Kills([] { (void)!open("/etc/passwd", O_RDONLY); }, kService));
  EXPECT_TRUE(Kills([] { (void)!socket(AF_INET, SOCK_STREAM, 0); }, kService));
  EXPECT_TRUE(Kills([] { (void)!setuid(0); }, kService));
  EXPECT_TRUE(Kills([] { (void)!fork(); }, kService));
}

}  // namespace
}  // namespace usetl
