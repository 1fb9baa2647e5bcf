// Which files a worker may hand over as layers of an image.
#include "vmm/vmmd/image_packs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

namespace usetl {
namespace {

struct ImagePacksTest : testing::Test {
  ImagePacksTest() {
    char name[] = "/tmp/image_packs.XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    directory = name;
  }
  ~ImagePacksTest() override { std::filesystem::remove_all(directory); }

  Fd File(off_t size, mode_t mode = 0644, int flags = O_RDONLY) {
    const std::string path = directory / std::to_string(++files);
    const Fd made(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(made.get(), size), 0);
    EXPECT_EQ(fchmod(made.get(), mode), 0);
    return Fd(open(path.c_str(), flags | O_CLOEXEC));
  }
  template <typename... Fds>
  static int Take(Fds... fds) {
    std::vector<Fd> list;
    (list.push_back(std::move(fds)), ...);
    return TakeImagePacks(std::move(list)).status().code();
  }

  std::filesystem::path directory;
  int files = 0;
};

TEST_F(ImagePacksTest, TakesRootsFilesInOrder) {
  std::vector<Fd> list;
  for (const off_t size : {4096, 8192, 40 << 20}) list.push_back(File(size));
  const int first = list[0].get();
  const Result<std::vector<ImagePack>> packs = TakeImagePacks(std::move(list));
  ASSERT_TRUE(packs.ok()) << packs.status().message();
  ASSERT_EQ(packs->size(), 3u);
  EXPECT_EQ((*packs)[0].fd.get(), first);
  EXPECT_EQ((*packs)[1].size, 8192u);
  EXPECT_TRUE(TakeImagePacks({})->empty());
}

TEST_F(ImagePacksTest, RefusesWhatAWorkerCanChange) {
  EXPECT_EQ(Take(File(4096, 0664)), EPERM);
  EXPECT_EQ(Take(File(4096, 0646)), EPERM);
  EXPECT_EQ(Take(File(4096, 0644, O_RDWR)), EPERM);
  EXPECT_EQ(Take(File(4096, 0644, O_PATH)), EPERM);
  EXPECT_EQ(Take(File(0)), EPERM);
  EXPECT_EQ(Take(Fd(open("/dev/zero", O_RDONLY | O_CLOEXEC))), EPERM);
  EXPECT_EQ(Take(Fd(open(directory.c_str(), O_RDONLY | O_CLOEXEC))), EPERM);
  Fd foreign = File(4096);
  ASSERT_EQ(fchown(foreign.get(), 12345, 0), 0);
  EXPECT_EQ(Take(File(4096), std::move(foreign)), EPERM);
}

TEST_F(ImagePacksTest, RefusesTooMuch) {
  const auto all = static_cast<off_t>(abi::kImagePacks.size);
  EXPECT_EQ(Take(File(all - (2 << 20))), 0);
  EXPECT_EQ(Take(File(all)), E2BIG);
  EXPECT_EQ(Take(File(all / 2), File(all / 2)), E2BIG);
  std::vector<Fd> many;
  for (uint32_t i = 0; i < abi::kMaxImagePacks; ++i) many.push_back(File(4096));
  many.push_back(File(4096));
  EXPECT_EQ(TakeImagePacks(std::move(many)).status().code(), E2BIG);
}

}  // namespace
}  // namespace usetl
