// What usetl-vmmd knows of cgroups, and what a USF's process can do with what it is given.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "vmm/ipc/socket.h"
#include "vmm/vmmd/cgroups.h"
#include "vmm/vmmd/user_files.h"

namespace usetl {
namespace {

TEST(TaskFiles, OfEveryHierarchy) {
  const char* const mounts =
      "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "31 20 0:27 /a/b /my\\040memory rw shared:9 - cgroup cgroup rw,memory\n"
      "32 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
      "33 20 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
      "34 20 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  const char* const cgroups =
      "5:cpuacct,cpu:/\n4:memory:/a/b/c\n3:pids:/system.slice/usetl\n1:name=systemd:/x\n0::/y\n";
  EXPECT_EQ(TaskFiles(mounts, cgroups),
            (std::vector<std::string>{"/sys/fs/cgroup/cpu,cpuacct/tasks", "/my memory/c/tasks",
                                      "/sys/fs/cgroup/pids/system.slice/usetl/tasks",
                                      "/sys/fs/cgroup/systemd/x/tasks"}));
  EXPECT_EQ(TaskFiles(mounts, "4:memory:/a/bc\n4:memory:/\n\nno line\n9:blkio:/\n"),
            std::vector<std::string>());
}

// A cgroup for the test, with whatever it starts as another user.
class InCgroup : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/sys/fs/cgroup/pids/tasks", W_OK) != 0) GTEST_SKIP() << "no version 1, or not root";
    directory_ = "/sys/fs/cgroup/pids/usetl-test-" + std::to_string(getpid());
    ASSERT_EQ(mkdir(directory_.c_str(), 0755), 0);
    tasks_ = Fd(open((directory_ + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(tasks_.ok());
  }
  void TearDown() override {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    if (directory_.empty()) return;
    EXPECT_EQ(rmdir(directory_.c_str()), 0);
  }
  // A process of kUser that is done with `work` and waits; its result.
  int Start(const std::function<int()>& work, pid_t* process) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    *process = fork();
    if (*process == 0) {
      if (setresgid(kUser, kUser, kUser) != 0 || setresuid(kUser, kUser, kUser) != 0) _exit(1);
      const int result = work();
      if (write(ends[1], &result, sizeof result) != sizeof result) _exit(1);
      for (;;) pause();
    }
    children_.push_back(*process);
    close(ends[1]);
    int result = -1;
    EXPECT_EQ(read(ends[0], &result, sizeof result), static_cast<ssize_t>(sizeof result));
    close(ends[0]);
    return result;
  }

  static constexpr uid_t kUser = 654'321;
  std::string directory_;
  Fd tasks_;
  std::vector<pid_t> children_;
};

int Write(const Fd& file, const std::string& text) {
  return write(file.get(), text.data(), text.size()) < 0 ? errno : 0;
}

TEST_F(InCgroup, DescriptorMovesProcessesOfItsUserOnly) {
  const Result<std::unique_ptr<UserFiles>> files = UserFiles::Start();
  ASSERT_TRUE(files.ok()) << files.status().message();
  const int wanted[] = {tasks_.get(), tasks_.get()};
  const Result<std::vector<Fd>> opened = (*files)->Open(kUser, wanted);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  ASSERT_EQ(opened->size(), 2u);
  EXPECT_EQ(geteuid(), 0u);
  const pid_t test = getpid();
  pid_t usf = 0;
  EXPECT_EQ(Start([&] { return Write((*opened)[0], std::to_string(test)); }, &usf), EACCES);
  EXPECT_FALSE(*HasProcess(tasks_, test));
  EXPECT_FALSE(*HasProcess(tasks_, usf));
  EXPECT_EQ(Start([&] { return Write((*opened)[1], "0"); }, &usf), 0);
  EXPECT_TRUE(*HasProcess(tasks_, usf));
  // The thread is root's again.
  EXPECT_TRUE((*files)->Open(0, wanted).ok());
  // What root has opened is the danger.
  EXPECT_EQ(Write(tasks_, std::to_string(usf)), 0);
}

TEST_F(InCgroup, KeptDescriptorIsFound) {
  const Result<std::unique_ptr<UserFiles>> files = UserFiles::Start();
  ASSERT_TRUE(files.ok()) << files.status().message();
  const int wanted[] = {tasks_.get()};
  Result<std::vector<Fd>> opened = (*files)->Open(kUser, wanted);
  ASSERT_TRUE(opened.ok());
  pid_t honest = 0, hostile = 0;
  const auto enter_and_close = [&] {
    const int result = Write((*opened)[0], "0");
    opened->clear();
    tasks_.Reset();
    return result;
  };
  EXPECT_EQ(Start(enter_and_close, &honest), 0);
  EXPECT_EQ(Start([&] { return Write((*opened)[0], "0"); }, &hostile), 0);
  EXPECT_FALSE(*HoldsCgroupFile(honest));
  EXPECT_TRUE(*HoldsCgroupFile(hostile));
}

// Without a saved user that is root there is no way back.
TEST(UserFilesDeathTest, NeverGoesOnAsTheUserOfAUsf) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  constexpr uid_t kUser = 654'321;
  const auto open_as_user = [] {
    if (setresuid(kUser, 0, kUser) != 0) _exit(1);
    const Result<std::unique_ptr<UserFiles>> files = UserFiles::Start();
    (void)!(*files)->Open(kUser, {}).ok();
    _exit(1);
  };
  EXPECT_EXIT(open_as_user(), testing::KilledBySignal(SIGABRT), "the way back from the user");
}

TEST(UserFilesDeathTest, SaysThatThereIsNoThread) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  constexpr uid_t kUser = 654'321;
  const auto start = [] {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_NPROC, &none) != 0 || setresuid(kUser, kUser, kUser) != 0) _exit(1);
    _exit(UserFiles::Start().status().code() == EAGAIN ? 0 : 1);
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(0), "");
}

TEST(ReceivedAll, NotWhileAnOrderWasOnlyLookedAt) {
  Result<std::pair<Fd, Fd>> pair = ipc::Pair();
  ASSERT_TRUE(pair.ok());
  const int vmmd = pair->first.get(), usf = pair->second.get();
  EXPECT_TRUE(*HasReceivedAll(vmmd));
  const int order = 1, fds[] = {usf};
  ASSERT_TRUE(ipc::Send(vmmd, ipc::Bytes(order), {}, fds).ok());
  EXPECT_FALSE(*HasReceivedAll(vmmd));
  int seen = 0;
  EXPECT_EQ(recv(usf, &seen, sizeof seen, MSG_PEEK), static_cast<ssize_t>(sizeof seen));
  EXPECT_FALSE(*HasReceivedAll(vmmd));
  EXPECT_TRUE(ipc::Receive(usf).ok());
  EXPECT_TRUE(*HasReceivedAll(vmmd));
}

TEST_F(InCgroup, OneThatWasRemovedHasNoProcess) {
  ASSERT_EQ(rmdir(directory_.c_str()), 0);
  directory_.clear();
  const Result<bool> has = HasProcess(tasks_, getpid());
  ASSERT_TRUE(has.ok()) << has.status().message();
  EXPECT_FALSE(*has);
}

TEST_F(InCgroup, FileThatRootOpened) {
  EXPECT_TRUE(IsCgroupFile(tasks_));
  EXPECT_TRUE(IsOfVersion1(tasks_));
  const std::string path = directory_ + "/tasks";
  EXPECT_FALSE(IsCgroupFile(Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC))));
  EXPECT_FALSE(IsCgroupFile(Fd(open(path.c_str(), O_PATH | O_CLOEXEC))));
  EXPECT_FALSE(IsCgroupFile(Fd(open("/dev/null", O_WRONLY | O_CLOEXEC))));
}

TEST_F(InCgroup, ProcessHasOneInEachHierarchy) {
  std::vector<Fd> files;
  const auto add = [&files](const std::string& path) {
    files.emplace_back(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(files.back().ok()) << path;
  };
  EXPECT_TRUE(AreOfOneProcess(files));
  add(directory_ + "/tasks");
  EXPECT_TRUE(AreOfOneProcess(files));
  add("/sys/fs/cgroup/pids/tasks");
  EXPECT_FALSE(AreOfOneProcess(files)) << "two of a hierarchy";
  files.pop_back();
  add("/sys/fs/cgroup/freezer/tasks");
  EXPECT_TRUE(AreOfOneProcess(files));
  if (access("/sys/fs/cgroup/unified/cgroup.procs", W_OK) != 0) return;
  add("/sys/fs/cgroup/unified/cgroup.procs");
  EXPECT_FALSE(AreOfOneProcess(files)) << "both versions";
}

TEST_F(InCgroup, HomeIsWhereThisProcessIs) {
  const Result<HomeCgroups> homes = HomeCgroups::Find();
  ASSERT_TRUE(homes.ok()) << homes.status().message();
  const int home = homes->InHierarchyOf(tasks_);
  ASSERT_GE(home, 0);
  const Fd copy(fcntl(home, F_DUPFD_CLOEXEC, 0));
  EXPECT_TRUE(*HasProcess(copy, getpid()));
  EXPECT_EQ(homes->InHierarchyOf(Fd(open("/dev/null", O_WRONLY | O_CLOEXEC))), -1);
}

}  // namespace
}  // namespace usetl
