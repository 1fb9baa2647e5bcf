#include "cri/client/volumes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

using Type = PodManifest::HostPath::Type;

class VolumesTest : public ::testing::Test {
 protected:
  std::string Prepare(const std::string& path, Type type) {
    PodManifest manifest;
    manifest.host_paths.push_back({path, type});
    return PrepareVolumes(manifest).message();
  }
  mode_t Mode(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode : 0;
  }

  const test::TemporaryDirectory made_;
  const std::string directory_ = made_.path();
  const std::string there_ = directory_ + "/there", missing_ = directory_ + "/a/b";
};

TEST_F(VolumesTest, ChecksHostPaths) {
  std::ofstream(there_) << "x";
  EXPECT_EQ(Prepare(there_, Type::kFile), "");
  EXPECT_EQ(Prepare(there_, Type::kFileOrCreate), "");
  EXPECT_EQ(Prepare(directory_, Type::kDirectory), "");
  EXPECT_EQ(Prepare(there_, Type::kDirectory),
            "hostPath " + there_ + " is no directory; its type in the manifest says that it is");
  EXPECT_EQ(Prepare(there_, Type::kDirectoryOrCreate),
            "hostPath " + there_ + " is no directory; its type in the manifest says that it is");
  EXPECT_EQ(Prepare(directory_, Type::kFile),
            "hostPath " + directory_ + " is no file; its type in the manifest says that it is");
  EXPECT_EQ(Prepare(missing_, Type::kDirectory),
            "hostPath " + missing_ + " is not there; make it, or give it type: DirectoryOrCreate");
  EXPECT_EQ(Prepare(missing_, Type::kFile),
            "hostPath " + missing_ + " is not there; make it, or give it type: FileOrCreate");
  EXPECT_EQ(Prepare(missing_, Type::kAny), "");  // usetld says so
}

TEST_F(VolumesTest, MakesHostPaths) {
  // Parents of directories, not of files: as the kubelet.
  EXPECT_EQ(Prepare(missing_, Type::kFileOrCreate),
            "create " + missing_ + ": No such file or directory");
  EXPECT_EQ(Prepare(missing_, Type::kDirectoryOrCreate), "");
  EXPECT_TRUE(S_ISDIR(Mode(missing_)));
  EXPECT_EQ(Prepare(there_, Type::kFileOrCreate), "");
  EXPECT_TRUE(S_ISREG(Mode(there_)));
}

TEST_F(VolumesTest, AnyUserOfThePodMayWriteEmptyDirs) {
  PodManifest manifest;
  const std::string pod = directory_ + "/uid", scratch = pod + "/scratch";
  manifest.directories = {scratch};
  ASSERT_TRUE(PrepareVolumes(manifest).ok());
  EXPECT_EQ(Mode(scratch) & 07777, 0777u);
  EXPECT_EQ(Mode(pod) & 07777, 0700u);
  RemoveVolumes(manifest);
  EXPECT_FALSE(std::filesystem::exists(pod));

  manifest.fs_group = 3000;
  const Status made = PrepareVolumes(manifest);
  ASSERT_TRUE(made.ok()) << made.message();
  struct stat info {};
  ASSERT_EQ(stat(scratch.c_str(), &info), 0);
  EXPECT_EQ(info.st_gid, 3000u);
  EXPECT_EQ(info.st_mode & 07777, 02777u);
  RemoveVolumes(manifest);
}

}  // namespace
}  // namespace usetl::cri
