#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <filesystem>
#include <map>

#include "vmm/pack/pack_writer.h"
#include "vmm/proxy/pod/contents.h"

namespace usetl::pod {
namespace {

using pack::PackInode;
using pack::PackTree;

class ContentsTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = 4 << 20;

  ContentsTest()
      : memory_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                kSize),
        region_(memory_.data(), kSize, false) {
    region_.Format();
    char name[] = "/tmp/pod_contents.XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    directory_ = name;
  }
  ~ContentsTest() override { std::filesystem::remove_all(directory_); }

  static uint32_t Add(PackTree* tree, uint32_t parent, std::string_view name, abi::PackType type,
                      std::string target = "", uint16_t mode = 0755) {
    PackInode inode;
    inode.type = type;
    inode.mode = mode;
    inode.target = std::move(target);
    return tree->AddName(parent, name, tree->AddInode(std::move(inode)));
  }
  pack::Pack Write(const PackTree& tree) {
    const std::string path = directory_ / ("pack" + std::to_string(++packs_));
    Result<pack::PackSummary> summary = pack::WritePack(tree, path, {});
    EXPECT_TRUE(summary.ok());
    Result<pack::Pack> opened = pack::OpenPack(path, true);
    EXPECT_TRUE(opened.ok());
    return std::move(*opened);
  }
  // Names in the region, with their types and, for links, targets.
  std::map<std::string, std::string> Published() const {
    const auto& table = *reinterpret_cast<const abi::FileTable*>(memory_.data());
    const char* base = reinterpret_cast<const char*>(memory_.data());
    std::map<std::string, std::string> names;
    for (uint32_t i = 0; i < table.used; ++i) {
      const abi::FileEntry& entry = table.entries[i];
      if (entry.type == abi::FileType::kNone) continue;
      EXPECT_TRUE(abi::CheckEntry(entry, region_.data_base(), kSize));
      std::string what = "file";
      if (entry.type == abi::FileType::kDirectory) what = "directory";
      if (entry.type == abi::FileType::kSymlink) {
        what = "-> " + std::string(base + entry.offset, entry.size);
      }
      names[std::string(base + entry.name_offset, entry.name_size)] = what;
    }
    return names;
  }

  Mapping memory_;
  HostRegion region_;
  std::filesystem::path directory_;
  int packs_ = 0;
};

TEST_F(ContentsTest, LayersHideWhatLiesBelow) {
  using abi::PackType;
  PackTree lower, upper;
  const auto a = Add(&lower, PackTree::kRoot, "a", PackType::kDirectory);
  Add(&lower, a, "gone", PackType::kRegular);
  Add(&lower, a, "stays", PackType::kRegular);
  const auto b = Add(&lower, PackTree::kRoot, "b", PackType::kDirectory);
  Add(&lower, b, "old", PackType::kRegular);
  const auto c = Add(&lower, PackTree::kRoot, "c", PackType::kDirectory);
  Add(&lower, c, "below", PackType::kRegular);
  Add(&lower, PackTree::kRoot, "c.not", PackType::kRegular);

  const auto a2 = Add(&upper, PackTree::kRoot, "a", PackType::kDirectory);
  Add(&upper, a2, "gone", PackType::kWhiteout);
  const auto b2 = Add(&upper, PackTree::kRoot, "b", PackType::kOpaqueDirectory);
  Add(&upper, b2, "new", PackType::kRegular);
  Add(&upper, PackTree::kRoot, "c", PackType::kSymlink, "b");
  Add(&upper, PackTree::kRoot, "private", PackType::kDirectory, "", 0700);
  Add(&upper, PackTree::kRoot, "empty", PackType::kDirectory);

  const pack::Pack first = Write(lower), second = Write(upper);
  Contents contents;
  ASSERT_TRUE(contents.AddLayer(first).ok());
  ASSERT_TRUE(contents.AddLayer(second).ok());
  StartRequest request;
  request.links = {{"/c/link", "new"}};  // through the link of a layer
  ASSERT_TRUE(contents.AddFiles(request).ok());
  const Status status = contents.Publish(&region_);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Published(), (std::map<std::string, std::string>{{"a/stays", "file"},
                                                             {"b/new", "file"},
                                                             {"c", "-> b"},
                                                             {"c.not", "file"},
                                                             {"c/link", "-> new"},
                                                             {"empty", "directory"},
                                                             {"private", "directory"}}));
}

TEST_F(ContentsTest, LeavesRoomForBodies) {
  StartRequest many;
  for (int i = 0; i < 897; ++i) many.links.push_back({"/" + std::to_string(i), "x"});
  Contents contents;
  ASSERT_TRUE(contents.AddFiles(many).ok());
  EXPECT_EQ(contents.Publish(&region_).code(), ENOSPC);
  EXPECT_TRUE(Published().empty());
  StartRequest large;
  large.contents = Fd(memfd_create("contents", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(large.contents.get(), kSize), 0);
  large.files = {{"/a", 0644, 0, kSize * 9 / 10}};
  Contents too_much;
  ASSERT_TRUE(too_much.AddFiles(large).ok());
  EXPECT_EQ(too_much.Publish(&region_).code(), ENOSPC);
}

TEST_F(ContentsTest, MountsHideTheImage) {
  using abi::PackType;
  PackTree image;
  const auto data = Add(&image, PackTree::kRoot, "data", PackType::kDirectory);
  Add(&image, data, "hidden", PackType::kRegular);
  Add(&image, PackTree::kRoot, "link", PackType::kSymlink, "data");
  const pack::Pack layer = Write(image);
  Contents contents;
  ASSERT_TRUE(contents.AddLayer(layer).ok());
  StartRequest request;
  request.directories = {{"/data", 0755, 1}, {"/data/sub", 0755, 0}, {"/link", 0755, 2}};
  request.links = {{"/data/sub/l", "x"}};
  ASSERT_TRUE(contents.AddFiles(request).ok());
  ASSERT_TRUE(contents.Publish(&region_).ok());
  EXPECT_EQ(Published(), (std::map<std::string, std::string>{{"data", "directory"},
                                                             {"data/sub", "directory"},
                                                             {"data/sub/l", "-> x"},
                                                             {"link", "directory"}}));
  EXPECT_EQ(reinterpret_cast<const abi::FileTable*>(memory_.data())->entries[0].mount, 1u);
}

TEST_F(ContentsTest, UpdatesAMount) {
  const auto version = [](const char* directory, const char* key) {
    StartRequest request;
    const std::string top = std::string("/m/") + directory;
    request.path = "/m";
    request.directories = {{"/m", 0755, abi::kReadOnlyMount}, {top, 0755, 0}};
    request.files = {{top + "/" + key, 0644, 0, 0, 0}};
    request.links = {{"/m/..data", directory}, {std::string("/m/") + key, "..data/x"}};
    return request;
  };
  Contents contents;
  const StartRequest first = version("..1", "a");
  ASSERT_TRUE(contents.AddFiles(first).ok());
  ASSERT_TRUE(contents.Publish(&region_).ok());
  ASSERT_TRUE(region_.AddFile("/m2", {}, 0644).ok());
  const uint64_t free = region_.free_bytes();
  for (int i = 0; i < 2000; ++i) {  // neither room nor slots are lost
    ASSERT_TRUE(UpdateMount(version("..2", "b"), &region_).ok());
    ASSERT_TRUE(UpdateMount(version("..1", "a"), &region_).ok());
  }
  ASSERT_TRUE(UpdateMount(version("..2", "b"), &region_).ok());
  EXPECT_EQ(Published(), (std::map<std::string, std::string>{{"m", "directory"},
                                                             {"m/..2", "directory"},
                                                             {"m/..2/b", "file"},
                                                             {"m/..data", "-> ..2"},
                                                             {"m/b", "-> ..data/x"},
                                                             {"m2", "file"}}));
  region_.BeginUpdate();
  EXPECT_EQ(region_.free_bytes(), free);
}

TEST_F(ContentsTest, RefusesStrangePaths) {
  for (const char* path : {"/", "//", "/a//b", "/a/.", "/../a", "/a/../../b"}) {
    StartRequest request;
    request.directories = {{path, 0755}};
    EXPECT_EQ(Contents().AddFiles(request).code(), EINVAL) << path;
  }
}

}  // namespace
}  // namespace usetl::pod
