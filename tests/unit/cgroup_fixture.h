// cgroup_fixture.h: parents of pods' cgroups: of version 1 for real, of version 2 in a directory
// that looks like it.
#ifndef USETL_TESTS_UNIT_CGROUP_FIXTURE_H_
#define USETL_TESTS_UNIT_CGROUP_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cri/cgroup/cgroup_files.h"
#include "cri/cgroup/pod_cgroup.h"
#include "tests/unit/temporary_directory.h"

namespace usetl::test {

// As a pod gets it: what was made of it goes after an error.
inline Result<cri::PodCgroup> Make(cri::Hierarchies hierarchies, const std::string& parent,
                                   const std::string& id,
                                   const runtime::v1::LinuxContainerResources& resources) {
  Result<std::string> path = cri::PodCgroup::PathFor(parent, id);
  if (!path.ok()) return path.status();
  cri::PodCgroup cgroup(std::move(hierarchies), *path);
  if (const Status made = cgroup.Create(resources); !made.ok()) {
    EXPECT_TRUE(cgroup.Remove().ok());
    return made;
  }
  return cgroup;
}

class RealCgroup : public testing::Test {
 protected:
  void SetUp() override {
    Result<cri::Hierarchies> read = cri::ReadHierarchies();
    ASSERT_TRUE(read.ok());
    hierarchies = *read;
    if (hierarchies.unified) GTEST_SKIP() << "the host has no hierarchy of version 1";
    parent = "/usetl-test-" + std::to_string(getpid());
    for (const cri::Hierarchy& hierarchy : hierarchies.all) {
      const std::string path = hierarchy.mount + parent;
      ASSERT_EQ(mkdir(path.c_str(), 0755), 0) << path;
      if (!hierarchy.controllers.contains("cpuset")) continue;
      for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
        ASSERT_TRUE(
            cri::WriteCgroupFile(path + name, *cri::ReadCgroupFile(hierarchy.mount + name)).ok());
      }
    }
  }
  void TearDown() override {
    for (const cri::Hierarchy& hierarchy : hierarchies.all)
      rmdir((hierarchy.mount + parent).c_str());
  }
  std::string File(const std::string& controller, const std::string& name) {
    for (const cri::Hierarchy& hierarchy : hierarchies.all) {
      if (!hierarchy.controllers.contains(controller)) continue;
      return *cri::ReadCgroupFile(hierarchy.mount + parent + "/usetl-0123456789abcdef/" + name);
    }
    return "no such hierarchy";
  }
  // No directory is left below the parents.
  bool Empty() {
    for (const cri::Hierarchy& hierarchy : hierarchies.all) {
      for (const auto& entry : std::filesystem::directory_iterator(hierarchy.mount + parent)) {
        if (entry.is_directory()) return false;
      }
    }
    return true;
  }
  const std::string id = "0123456789abcdef0123";
  cri::Hierarchies hierarchies;
  std::string parent;
};

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
    return *cri::ReadCgroupFile(mount + "/pod/usetl-0123456789abcdef/" + file);
  }
  cri::Hierarchies All() { return {true, {{mount, {}}}}; }
  const TemporaryDirectory directory;
  const std::string mount = directory.path();
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_CGROUP_FIXTURE_H_
