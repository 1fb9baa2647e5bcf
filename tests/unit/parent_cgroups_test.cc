// What is above a pod's cgroup: made when it is missing, and gone with the last pod.
#include "cri/cgroup/parent_cgroups.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "tests/unit/cgroup_fixture.h"

namespace usetl::cri {
namespace {

using test::FakeUnified;
using test::Make;
using test::RealCgroup;

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

}  // namespace
}  // namespace usetl::cri
