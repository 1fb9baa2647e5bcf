// Killed processes that nobody waits for.
#include "vmm/pool/reaper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace usetl {
namespace {

class Killed : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Reaper>> reaper = Reaper::Create();
    ASSERT_TRUE(reaper.ok()) << reaper.status().message();
    reaper_ = std::move(*reaper);
  }
  static pid_t Start() {
    const pid_t child = fork();
    if (child != 0) return child;
    for (;;) pause();
  }
  void WaitForEnd() const {
    pollfd end{reaper_->fd(), POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, -1), 1);
  }
  static bool IsReaped(pid_t child) { return waitpid(child, nullptr, WNOHANG) < 0; }

  std::unique_ptr<Reaper> reaper_;
  const CgroupFiles cgroups_ = std::make_shared<const std::vector<Fd>>();
};

TEST_F(Killed, IsReapedWhenItHasEnded) {
  const pid_t child = Start();
  kill(child, SIGKILL);
  reaper_->Take({child, cgroups_, nullptr});
  WaitForEnd();
  EXPECT_TRUE(reaper_->HasIn(cgroups_));
  EXPECT_FALSE(reaper_->HasIn(std::make_shared<const std::vector<Fd>>()));
  EXPECT_FALSE(reaper_->HasIn(nullptr));
  reaper_->Reap();
  EXPECT_EQ(reaper_->size(), 0u);
  EXPECT_FALSE(reaper_->HasIn(cgroups_));
  EXPECT_TRUE(IsReaped(child));
}

TEST_F(Killed, KeepsItsNumberWhileItIsMoved) {
  const pid_t child = Start();
  const auto move = std::make_shared<CgroupMove>();
  kill(child, SIGKILL);
  reaper_->Take({child, cgroups_, move});
  WaitForEnd();
  reaper_->Reap();
  EXPECT_TRUE(move->cancelled);
  EXPECT_EQ(reaper_->size(), 1u);
  EXPECT_EQ(kill(child, 0), 0);
  pollfd end{reaper_->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 0), 0) << "its end is told without end";
  move->over = true;
  reaper_->Reap();
  EXPECT_EQ(reaper_->size(), 0u);
  EXPECT_TRUE(IsReaped(child));
}

TEST_F(Killed, IsReapedWithoutDescriptors) {
  const pid_t child = Start();
  kill(child, SIGKILL);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  reaper_->Take({child, cgroups_, nullptr});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(reaper_->blind());
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, child, &ended, WEXITED | WNOWAIT), 0);
  reaper_->Reap();
  EXPECT_EQ(reaper_->size(), 0u);
  EXPECT_FALSE(reaper_->blind());
  EXPECT_TRUE(IsReaped(child));
}

TEST_F(Killed, HoldsItsRegionUntilItHasEnded) {
  const pid_t first = Start(), second = Start();
  reaper_->Take({first, cgroups_, nullptr, 8 << 20});
  reaper_->Take({second, nullptr, nullptr, 2 << 20});
  EXPECT_EQ(reaper_->RegionBytes(), uint64_t{10 << 20});
  kill(first, SIGKILL);
  WaitForEnd();
  reaper_->Reap();
  EXPECT_EQ(reaper_->RegionBytes(), uint64_t{2 << 20});
  kill(second, SIGKILL);
  WaitForEnd();
  reaper_->Reap();
  EXPECT_EQ(reaper_->RegionBytes(), 0u);
}

TEST_F(Killed, NoneIsNoProcess) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, child, &ended, WEXITED | WNOWAIT), 0);
  reaper_->Take({});
  EXPECT_EQ(reaper_->size(), 0u);
  reaper_->Reap();
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), child) << "another child was reaped";
}

TEST_F(Killed, IsReapedAtTheEnd) {
  const pid_t child = Start();
  kill(child, SIGKILL);
  reaper_->Take({child, cgroups_, nullptr});
  reaper_.reset();
  EXPECT_TRUE(IsReaped(child));
}

// As one that its cgroup gives no processor time.
TEST_F(Killed, IsNotWaitedFor) {
  const std::string freezer = "/sys/fs/cgroup/freezer/usetl-test-" + std::to_string(getpid());
  if (mkdir(freezer.c_str(), 0755) != 0) GTEST_SKIP() << "no freezer of version 1, or not root";
  const pid_t child = Start();
  std::ofstream(freezer + "/cgroup.procs") << child;
  std::ofstream(freezer + "/freezer.state") << "FROZEN";
  kill(child, SIGKILL);
  reaper_->Take({child, cgroups_, nullptr});
  reaper_->Reap();
  EXPECT_TRUE(reaper_->HasIn(cgroups_));
  std::ofstream(freezer + "/freezer.state") << "THAWED";
  WaitForEnd();
  reaper_->Reap();
  EXPECT_EQ(reaper_->size(), 0u);
  EXPECT_TRUE(IsReaped(child));
  EXPECT_EQ(rmdir(freezer.c_str()), 0);
}

}  // namespace
}  // namespace usetl
