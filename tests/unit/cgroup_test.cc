// Cgroups of pods: version 1 for real, version 2 in a directory that looks like it.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>

#include <filesystem>

#include "cri/cgroup/driver.h"
#include "tests/unit/cgroup_fixture.h"
#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

using runtime::v1::LinuxContainerResources;
using test::FakeUnified;
using test::Make;
using test::RealCgroup;

TEST(Hierarchies, VersionOne) {
  const Hierarchies found = ParseHierarchies(
      "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "31 20 0:27 / /sys/fs/cgroup/my\\040memory rw shared:9 - cgroup cgroup rw,memory\n"
      "32 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
      "33 20 0:26 / /again rw - cgroup cgroup rw,cpu,cpuacct\n"
      "34 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "broken line - \n");
  EXPECT_FALSE(found.unified);
  ASSERT_EQ(found.all.size(), 2u);
  EXPECT_EQ(found.all[0].controllers, (std::set<std::string>{"cpu", "cpuacct"}));
  EXPECT_EQ(found.all[1].mount, "/sys/fs/cgroup/my memory");
}

TEST(Hierarchies, VersionTwo) {
  const Hierarchies found =
      ParseHierarchies("34 20 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_TRUE(found.unified);
  ASSERT_EQ(found.all.size(), 1u);
  EXPECT_EQ(found.all[0].mount, "/sys/fs/cgroup");
  EXPECT_TRUE(ParseHierarchies("").all.empty());
}

TEST(CgroupParent, Expanded) {
  for (const auto& [parent, path] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/kubepods/burstable/pod1/", "/kubepods/burstable/pod1"},
           {"/", "/"},
           {"-.slice", "/"},
           {"a.slice", "/a.slice"},
           {"kubepods-burstable-pod1_2.slice",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"},
           {"/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"}}) {
    const auto expanded = ExpandCgroupParent(parent);
    ASSERT_TRUE(expanded.ok()) << parent << expanded.status().message();
    EXPECT_EQ(*expanded, path);
  }
  for (const std::string& parent :
       {std::string(), std::string("relative"), std::string("/a/../b"), std::string("/a//b"),
        std::string("/./a"), std::string("/a\0b", 4), std::string("a/b.slice"),
        std::string("a--b.slice"), std::string("/-a.slice"), "/" + std::string(3000, 'a'),
        "/" + std::string(256, 'a')}) {
    EXPECT_EQ(ExpandCgroupParent(parent).status().code(), EINVAL) << parent.substr(0, 50);
  }
}

TEST(CgroupDriver, Chosen) {
  const test::TemporaryDirectory directory;
  const std::string there = directory.path(), missing = there + "/missing", link = there + "/link";
  std::filesystem::create_symlink(there, link);
  for (const auto& [word, systemd, driver] :
       std::initializer_list<std::tuple<const char*, std::string, CgroupDriver>>{
           {"cgroupfs", there, CgroupDriver::kCgroupfs},
           {"systemd", missing, CgroupDriver::kSystemd},
           {"auto", there, CgroupDriver::kSystemd},
           {"auto", missing, CgroupDriver::kCgroupfs},
           {"auto", link, CgroupDriver::kCgroupfs}}) {
    const auto chosen = ChooseCgroupDriver(word, systemd);
    ASSERT_TRUE(chosen.ok()) << chosen.status().message();
    EXPECT_EQ(*chosen, driver) << word << " " << systemd;
    EXPECT_TRUE(PodCgroup::PathFor(DefaultCgroupParent(driver), "0123456789abcdef").ok());
  }
  EXPECT_EQ(ChooseCgroupDriver("Systemd").status().code(), EINVAL);
}

TEST_F(RealCgroup, LimitsProcessesUsage) {
  LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(64 << 20);
  resources.set_cpu_shares(512);
  resources.set_cpu_period(50'000);
  resources.set_cpu_quota(25'000);
  const auto cgroup = Make(hierarchies, parent, id, resources);
  ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
  EXPECT_EQ(cgroup->path(), parent + "/usetl-0123456789abcdef");
  EXPECT_EQ(File("memory", "memory.limit_in_bytes"), "67108864\n");
  EXPECT_EQ(File("cpu", "cpu.shares"), "512\n");
  EXPECT_EQ(File("cpu", "cpu.cfs_quota_us"), "25000\n");
  const auto processes = cgroup->OpenProcesses("none");
  ASSERT_TRUE(processes.ok()) << processes.status().message();
  ASSERT_EQ(processes->size(), hierarchies.all.size());

  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    close(ends[1]);
    for (const CgroupFile& entry : *processes) {
      if (write(entry.file.get(), "0", 1) != 1) _exit(1);
    }
    while (clock() == 0) continue;
    kill(getpid(), SIGSTOP);
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status)) << "it could not enter: " << status;
  EXPECT_EQ(File("memory", "cgroup.procs"), std::to_string(child) + "\n");
  const CgroupEvents events = cgroup->ReadEvents();
  EXPECT_TRUE(events.periods && events.throttled_periods && events.throttled_ns);
  EXPECT_EQ(events.memory_failures, 0u);
  EXPECT_FALSE(events.cpu || events.memory || events.io) << "version 1 has none";
  // It is not ours to end whoever is still there.
  const Status busy = cgroup->Remove();
  EXPECT_EQ(busy.code(), EIO);
  EXPECT_NE(busy.message().find("Device or resource busy"), std::string::npos) << busy.message();
  close(ends[1]);
  close(ends[0]);
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(cgroup->Remove().ok());
  EXPECT_TRUE(cgroup->Remove().ok());  // gone is fine
  EXPECT_TRUE(Empty());
}

TEST_F(RealCgroup, ContainerOfItsOwn) {
  const auto cgroup = Make(hierarchies, parent, id, {});
  ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
  LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(64 << 20);
  ASSERT_TRUE(cgroup->CreateFor("unlimited", resources).ok());
  EXPECT_EQ(cgroup->LimitFor("unlimited", resources).code(), ENOENT);
  EXPECT_FALSE(cgroup->ReadEventsOf("unlimited").periods);
  resources.set_cpu_quota(25'000);
  resources.set_cpu_shares(512);
  const Status created = cgroup->CreateFor("fedcba98765432109876", resources);
  ASSERT_TRUE(created.ok()) << created.message();
  EXPECT_EQ(File("cpu", "usetl-fedcba9876543210/cpu.cfs_quota_us"), "25000\n");
  EXPECT_EQ(File("cpu", "usetl-fedcba9876543210/cpu.shares"), "512\n");
  EXPECT_EQ(File("cpu", "cpu.cfs_quota_us"), "-1\n");
  EXPECT_TRUE(cgroup->ReadEventsOf("fedcba98765432109876").periods);
  resources.set_cpu_quota(-1);
  ASSERT_TRUE(cgroup->LimitFor("fedcba98765432109876", resources).ok());
  EXPECT_EQ(File("cpu", "usetl-fedcba9876543210/cpu.cfs_quota_us"), "-1\n");
  const auto processes = cgroup->OpenProcesses("fedcba98765432109876");
  ASSERT_TRUE(processes.ok()) << processes.status().message();
  for (size_t i = 0; i < processes->size(); ++i) {
    EXPECT_EQ((*processes)[i].for_usf, !hierarchies.all[i].controllers.contains("memory"));
  }
  ASSERT_TRUE(cgroup->CreateFor("left", resources).ok());
  ASSERT_TRUE(cgroup->RemoveFor("fedcba98765432109876").ok());
  EXPECT_TRUE(cgroup->RemoveFor("fedcba98765432109876").ok());
  EXPECT_EQ(cgroup->LimitFor("fedcba98765432109876", resources).code(), ENOENT);
  EXPECT_TRUE(cgroup->Remove().ok());
  EXPECT_TRUE(Empty());
}

TEST_F(RealCgroup, CpusetOfAContainer) {
  // By the kernel's word, not by that of what is tested, and before there is anything to remove.
  if (!std::filesystem::exists("/sys/fs/cgroup/cpuset/cpuset.cpus")) {
    GTEST_SKIP() << "the host has no cpuset controller of version 1";
  }
  const auto cgroup = Make(hierarchies, parent, id, {});
  ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
  ASSERT_TRUE(cgroup->HasCpuset());
  LinuxContainerResources resources;
  resources.set_cpuset_cpus("0");
  const Status created = cgroup->CreateFor("fedcba98765432109876", resources);
  ASSERT_TRUE(created.ok()) << created.message();
  EXPECT_EQ(File("cpuset", "usetl-fedcba9876543210/cpuset.cpus"), "0\n");
  EXPECT_EQ(File("cpuset", "usetl-fedcba9876543210/cpuset.mems"), File("cpuset", "cpuset.mems"));
  const auto processes = cgroup->OpenProcesses("fedcba98765432109876");
  ASSERT_TRUE(processes.ok()) << processes.status().message();
  for (size_t i = 0; i < processes->size(); ++i) {
    const std::string path = std::filesystem::read_symlink(
        "/proc/self/fd/" + std::to_string((*processes)[i].file.get()));
    EXPECT_EQ(path.find("usetl-fedcba9876543210") != path.npos,
              hierarchies.all[i].controllers.contains("cpuset"))
        << path;
  }
  resources.set_cpu_shares(512);
  EXPECT_EQ(cgroup->LimitFor("fedcba98765432109876", resources).code(), ENOENT) << "of cpu";
  EXPECT_EQ(cgroup->LimitFor("none", resources).code(), ENOENT);
  EXPECT_TRUE(cgroup->RemoveFor("fedcba98765432109876").ok());
  ASSERT_TRUE(cgroup->CreateFor("left", resources).ok());
  EXPECT_TRUE(cgroup->Remove().ok());
  EXPECT_TRUE(Empty());
}

TEST_F(RealCgroup, FailureLeavesNothing) {
  LinuxContainerResources resources;
  resources.set_cpuset_cpus("100000");
  const auto cgroup = Make(hierarchies, parent, id, resources);
  EXPECT_EQ(cgroup.status().code(), EIO);
  EXPECT_NE(cgroup.status().message().find("cpuset.cpus"), std::string::npos)
      << cgroup.status().message();
  EXPECT_TRUE(Empty());
  const auto lost = Make(hierarchies, parent + "/missing", id, {});
  EXPECT_EQ(lost.status().code(), EIO);
}

TEST_F(FakeUnified, LimitsAndEvents) {
  for (const char* file : {"memory.max", "cpu.max", "cpu.weight", "cgroup.procs"}) {
    WriteOurs(file, "");
  }
  WriteOurs("memory.events", "low 0\nhigh 0\nmax 7\noom 1\n");
  WriteOurs("cpu.stat", "usage_usec 12\nnr_periods 9\nnr_throttled 3\nthrottled_usec 12\n");
  WriteOurs("cpu.pressure", "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\n");
  WriteOurs("memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n"
            "full avg10=2.00 avg60=0.00 avg300=0.00 total=5\n");
  LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(4096);
  resources.set_cpu_quota(5000);
  resources.set_cpu_shares(1024);
  const auto cgroup = Make(All(), "/pod", "0123456789abcdef0123", resources);
  ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
  EXPECT_EQ(Ours("memory.max"), "4096");
  EXPECT_EQ(Ours("cpu.max"), "5000 100000");
  EXPECT_EQ(Ours("cpu.weight"), "39");
  EXPECT_EQ(cgroup->OpenProcesses("none")->size(), 1u);
  const CgroupEvents events = cgroup->ReadEvents();
  EXPECT_EQ(events.periods, 9u);
  EXPECT_EQ(events.throttled_periods, 3u);
  EXPECT_EQ(events.throttled_ns, 12'000u);
  EXPECT_EQ(events.memory_failures, 7u);
  ASSERT_TRUE(events.cpu && events.memory);
  EXPECT_EQ(events.cpu->some.avg10, 1.5);
  EXPECT_EQ(events.cpu->some.avg60, 0.25);
  EXPECT_EQ(events.cpu->some.total_us, 42u);
  EXPECT_EQ(events.cpu->full.total_us, 0u);
  EXPECT_EQ(events.memory->full.avg10, 2.0);
  EXPECT_EQ(events.memory->full.total_us, 5u);
  EXPECT_FALSE(events.io) << "this kernel has no such file";
}

TEST_F(FakeUnified, EveryContainerHasItsOwn) {
  const auto cgroup = Make(All(), "/pod", "0123456789abcdef0123", {});
  ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
  WriteOurs("cgroup.controllers", "cpu memory\n");
  WriteOurs("cgroup.subtree_control", "");
  const std::string own = mount + "/pod/usetl-0123456789abcdef/usetl-container";
  ASSERT_TRUE(std::filesystem::create_directory(own));
  WriteOurs("usetl-container/cpu.max", "");
  WriteOurs("usetl-container/cgroup.procs", "");
  LinuxContainerResources resources;
  resources.set_cpu_quota(5000);
  resources.set_memory_limit_in_bytes(4096);  // usetl-vmmd's
  EXPECT_FALSE(cgroup->HasCpuset());
  WriteOurs("cgroup.controllers", "cpu cpuset memory\n");
  EXPECT_TRUE(cgroup->HasCpuset());
  WriteOurs("usetl-container/cpuset.cpus", "");
  resources.set_cpuset_cpus("0-1");
  const Status created = cgroup->CreateFor("container", resources);
  ASSERT_TRUE(created.ok()) << created.message();
  EXPECT_EQ(Ours("usetl-container/cpu.max"), "5000 100000");
  EXPECT_EQ(Ours("usetl-container/cpuset.cpus"), "0-1");
  EXPECT_NE(Ours("cgroup.subtree_control"), "");
  const auto processes = cgroup->OpenProcesses("container");
  ASSERT_TRUE(processes.ok()) << processes.status().message();
  ASSERT_EQ(processes->size(), 1u);
  EXPECT_TRUE((*processes)[0].for_usf);
  EXPECT_EQ(
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string((*processes)[0].file.get())),
      own + "/cgroup.procs");
}

TEST(Pressure, WhatIsNone) {
  for (const char* text : {"", "some", "some avg10=x avg60=0 avg300=0 total=1\n",
                           "some avg10=0 avg60=0 avg300=0 total=1\nfull avg10=\n"}) {
    EXPECT_FALSE(ParsePressure(text)) << text;
  }
}

TEST_F(FakeUnified, LimitThatCannotBeSet) {
  LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(4096);
  const auto cgroup = Make(All(), "/pod", "0123456789abcdef0123", resources);
  EXPECT_EQ(cgroup.status().code(), EIO);
  EXPECT_NE(cgroup.status().message().find("memory.max"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(mount + "/pod/usetl-0123456789abcdef"));
}

TEST(PodCgroup, NoHierarchy) {
  EXPECT_EQ(Make({}, "/pod", "0123456789abcdef0123", {}).status().code(), EIO);
}

}  // namespace
}  // namespace usetl::cri
