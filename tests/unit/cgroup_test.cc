// Cgroups of pods: version 1 for real, version 2 in a directory that looks like it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <filesystem>
#include <fstream>

#include "cri/cgroup/cgroup_files.h"
#include "cri/cgroup/driver.h"
#include "cri/cgroup/parent_cgroups.h"
#include "cri/cgroup/pod_cgroup.h"
#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

using runtime::v1::LinuxContainerResources;

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

// As a pod gets it: what was made of it goes after an error.
Result<PodCgroup> Make(Hierarchies hierarchies, const std::string& parent, const std::string& id,
                       const LinuxContainerResources& resources) {
  Result<std::string> path = PodCgroup::PathFor(parent, id);
  if (!path.ok()) return path.status();
  PodCgroup cgroup(std::move(hierarchies), *path);
  if (const Status made = cgroup.Create(resources); !made.ok()) {
    EXPECT_TRUE(cgroup.Remove().ok());
    return made;
  }
  return cgroup;
}

class RealCgroup : public testing::Test {
 protected:
  void SetUp() override {
    Result<Hierarchies> read = ReadHierarchies();
    ASSERT_TRUE(read.ok());
    hierarchies = *read;
    if (hierarchies.unified) GTEST_SKIP() << "the host has no hierarchy of version 1";
    parent = "/usetl-test-" + std::to_string(getpid());
    for (const Hierarchy& hierarchy : hierarchies.all) {
      const std::string path = hierarchy.mount + parent;
      ASSERT_EQ(mkdir(path.c_str(), 0755), 0) << path;
      if (!hierarchy.controllers.contains("cpuset")) continue;
      for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
        ASSERT_TRUE(WriteCgroupFile(path + name, *ReadCgroupFile(hierarchy.mount + name)).ok());
      }
    }
  }
  void TearDown() override {
    for (const Hierarchy& hierarchy : hierarchies.all) rmdir((hierarchy.mount + parent).c_str());
  }
  std::string File(const std::string& controller, const std::string& name) {
    for (const Hierarchy& hierarchy : hierarchies.all) {
      if (!hierarchy.controllers.contains(controller)) continue;
      return *ReadCgroupFile(hierarchy.mount + parent + "/usetl-0123456789abcdef/" + name);
    }
    return "no such hierarchy";
  }
  // No directory is left below the parents.
  bool Empty() {
    for (const Hierarchy& hierarchy : hierarchies.all) {
      for (const auto& entry : std::filesystem::directory_iterator(hierarchy.mount + parent)) {
        if (entry.is_directory()) return false;
      }
    }
    return true;
  }
  const std::string id = "0123456789abcdef0123";
  Hierarchies hierarchies;
  std::string parent;
};

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

std::vector<std::string> Hold(ParentCgroups* parents, const Hierarchies& all,
                              const std::string& path, const std::string& pod) {
  auto held = parents->Hold(all, path, ParentCgroups::Whose::kClients, pod);
  EXPECT_TRUE(held.ok()) << held.status().message();
  return held.ok() ? *held : std::vector<std::string>();
}

class RealParents : public RealCgroup {
 protected:
  // Whether it is there, in all of them; none when they differ.
  std::optional<bool> IsThere(const Hierarchies& all, const std::string& path) {
    size_t count = 0;
    for (const Hierarchy& hierarchy : all.all) {
      count += std::filesystem::is_directory(hierarchy.mount + path);
    }
    if (count == 0 || count == all.all.size()) return count != 0;
    return std::nullopt;
  }
  // Two pods below `above`/a/b, which is missing.
  void Share(const Hierarchies& all, const std::string& above) {
    ParentCgroups parents;
    const std::string inner = above + "/a/b";
    const auto first = Hold(&parents, all, inner, "one");
    ASSERT_EQ(first.size(), 2 * all.all.size());
    EXPECT_EQ(first[0], all.all[0].mount + above + "/a") << "outer ones first";
    EXPECT_EQ(IsThere(all, above + "/a"), false);
    const Status made = ParentCgroups::Make(all, first);
    ASSERT_TRUE(made.ok()) << made.message();
    const auto second = Hold(&parents, all, inner, "two");
    EXPECT_EQ(second, first) << "they are not anybody else's";
    const auto cgroup = Make(all, inner, id, {});
    ASSERT_TRUE(cgroup.ok()) << cgroup.status().message();
    EXPECT_TRUE(parents.Drop(first, "one").ok());
    EXPECT_TRUE(cgroup->Remove().ok());
    EXPECT_TRUE(parents.Drop(first, "one").ok()) << "again, as after an error of the store";
    EXPECT_EQ(IsThere(all, inner), true) << "another pod has it";
    // As the next usetld does it.
    ParentCgroups later;
    later.HoldAgain(second, "two");
    EXPECT_EQ(Hold(&later, all, inner, "three"), second);
    EXPECT_TRUE(later.Drop(second, "two").ok());
    EXPECT_EQ(IsThere(all, inner), true);
    const std::string others = all.all[0].mount + inner + "/others";
    ASSERT_EQ(mkdir(others.c_str(), 0755), 0);
    EXPECT_TRUE(later.Drop(second, "three").ok());
    EXPECT_TRUE(std::filesystem::is_directory(others));
    EXPECT_EQ(rmdir(others.c_str()), 0);
    EXPECT_TRUE(later.Drop(second, "three").ok());
    EXPECT_EQ(IsThere(all, above + "/a"), false);
  }
};

TEST_F(RealParents, AreMadeAndGoWithTheLastPod) {
  ParentCgroups parents;
  EXPECT_TRUE(Hold(&parents, hierarchies, parent, "one").empty()) << "it is kubelet's";
  EXPECT_TRUE(Hold(&parents, hierarchies, "", "one").empty());
  Share(hierarchies, parent);
  EXPECT_TRUE(Empty());
}

// Another usetld has made it, and may leave it to us.
TEST_F(RealParents, OfOursGoWhoeverMadeThem) {
  const std::string ours = parent + "/ours";
  for (const Hierarchy& hierarchy : hierarchies.all) {
    ASSERT_EQ(mkdir((hierarchy.mount + ours).c_str(), 0755), 0);
  }
  ParentCgroups parents;
  const auto held = parents.Hold(hierarchies, ours, ParentCgroups::Whose::kOurs, "one");
  ASSERT_TRUE(held.ok()) << held.status().message();
  EXPECT_TRUE(std::ranges::count(*held, hierarchies.all[0].mount + ours));
  ASSERT_TRUE(ParentCgroups::Make(hierarchies, *held).ok());
  const std::string others = hierarchies.all[0].mount + ours + "/others";
  ASSERT_EQ(mkdir(others.c_str(), 0755), 0);
  EXPECT_TRUE(parents.Drop(*held, "one").ok());
  EXPECT_TRUE(std::filesystem::is_directory(others));
  EXPECT_EQ(rmdir(others.c_str()), 0);
  EXPECT_TRUE(parents.Drop(*held, "one").ok());
  EXPECT_EQ(IsThere(hierarchies, ours), false);
  // What the test keeps its cgroups in went as well.
  for (const Hierarchy& hierarchy : hierarchies.all) {
    mkdir((hierarchy.mount + parent).c_str(), 0755);
  }
}

TEST_F(RealParents, AreDirectories) {
  const std::string file = parent + "/cgroup.procs";
  ParentCgroups parents;
  for (const std::string& path : {file, file + "/below"}) {
    const auto held = parents.Hold(hierarchies, path, ParentCgroups::Whose::kClients, "one");
    EXPECT_EQ(held.status().code(), EINVAL) << path;
    EXPECT_NE(held.status().message().find("cgroup.procs is no directory"), std::string::npos)
        << held.status().message();
  }
  const std::string mount = hierarchies.all[0].mount;
  EXPECT_TRUE(RemoveCgroupDirectory(mount + file + "/below").ok()) << "nothing can be there";
  EXPECT_TRUE(RemoveCgroupDirectory(mount + parent + "/missing").ok());
  EXPECT_EQ(RemoveCgroupDirectory(mount + file).code(), EIO);
}

TEST_F(RealParents, OfVersionTwo) {
  constexpr char kMount[] = "/sys/fs/cgroup/unified";
  if (!std::filesystem::exists(std::string(kMount) + "/cgroup.controllers")) {
    GTEST_SKIP() << "the host has no hierarchy of version 2 beside those of version 1";
  }
  const std::string above = std::string(kMount) + parent;
  ASSERT_EQ(mkdir(above.c_str(), 0755), 0);
  Share({true, {{kMount, {}}}}, parent);
  EXPECT_EQ(rmdir(above.c_str()), 0);
}

TEST_F(RealParents, CpusetsOfVersionOneArePassedOn) {
  if (!std::filesystem::exists("/sys/fs/cgroup/cpuset/cpuset.cpus")) {
    GTEST_SKIP() << "the host has no cpuset controller of version 1";
  }
  ParentCgroups parents;
  const auto held = Hold(&parents, hierarchies, parent + "/a", "one");
  ASSERT_TRUE(ParentCgroups::Make(hierarchies, held).ok());
  const std::string cpuset = "/sys/fs/cgroup/cpuset" + parent;
  EXPECT_EQ(*ReadCgroupFile(cpuset + "/a/cpuset.cpus"), *ReadCgroupFile(cpuset + "/cpuset.cpus"));
  EXPECT_EQ(*ReadCgroupFile(cpuset + "/a/cpuset.mems"), *ReadCgroupFile(cpuset + "/cpuset.mems"));
  EXPECT_TRUE(parents.Drop(held, "one").ok());
}

class FakeUnified : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(mount + "/pod/usetl-0123456789abcdef");
    Write("/pod/cgroup.controllers", "cpu io memory pids\n");
    Write("/pod/cgroup.subtree_control", "");
  }
  void Write(const std::string& file, const std::string& text) {
    std::ofstream(mount + file) << text;
  }
  void WriteOurs(const std::string& file, const std::string& text) {
    Write("/pod/usetl-0123456789abcdef/" + file, text);
  }
  std::string Ours(const std::string& file) {
    return *ReadCgroupFile(mount + "/pod/usetl-0123456789abcdef/" + file);
  }
  Hierarchies All() { return {true, {{mount, {}}}}; }
  const test::TemporaryDirectory directory;
  const std::string mount = directory.path();
};

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

TEST_F(FakeUnified, MissingParentGetsControllers) {
  ParentCgroups parents;
  EXPECT_TRUE(Hold(&parents, All(), "/pod", "one").empty());
  const auto held = Hold(&parents, All(), "/pod/inner", "one");
  EXPECT_EQ(held, std::vector<std::string>{mount + "/pod/inner"});
  const Status made = ParentCgroups::Make(All(), held);
  ASSERT_TRUE(made.ok()) << made.message();
  EXPECT_TRUE(std::filesystem::is_directory(mount + "/pod/inner"));
  EXPECT_NE(*ReadCgroupFile(mount + "/pod/cgroup.subtree_control"), "");
  EXPECT_TRUE(parents.Drop(held, "one").ok());
  EXPECT_FALSE(std::filesystem::exists(mount + "/pod/inner"));
  const auto lost = Hold(&parents, All(), "/pod/lost", "one");
  std::filesystem::remove(mount + "/pod/cgroup.controllers");
  EXPECT_EQ(ParentCgroups::Make(All(), lost).code(), EIO);
  EXPECT_TRUE(parents.Drop(lost, "one").ok());
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
