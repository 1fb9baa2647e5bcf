#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>

#include "vmm/proxy/pod/contents.h"

namespace usetl::pod {
namespace {

class ContentsTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = 4 << 20;

  ContentsTest()
      : memory_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                kSize),
        region_(memory_.data(), kSize, false) {
    region_.Format();
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
};

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

TEST_F(ContentsTest, PublishesMounts) {
  StartRequest request;
  request.contents = Fd(memfd_create("contents", MFD_CLOEXEC));
  ASSERT_EQ(pwrite(request.contents.get(), "text", 4, 0), 4);
  request.directories = {{"/data", 0755, 1}, {"/data/sub", 0755, 0}};
  request.files = {{"/data/file", 0644, 1, 3, 0}};
  request.links = {{"/data/sub/l", "x"}, {"/a", "data"}, {"/a/through", "y"}};
  Contents contents;
  ASSERT_TRUE(contents.AddFiles(request).ok());
  ASSERT_TRUE(contents.Publish(&region_).ok());
  EXPECT_EQ(Published(), (std::map<std::string, std::string>{{"data", "directory"},
                                                             {"data/sub", "directory"},
                                                             {"data/file", "file"},
                                                             {"data/sub/l", "-> x"},
                                                             {"a", "-> data"},
                                                             {"a/through", "-> y"}}));
  EXPECT_EQ(reinterpret_cast<const abi::FileTable*>(memory_.data())->entries[1].mount, 1u);
  request.links = {{"/data/file/below", "x"}};
  EXPECT_EQ(Contents(contents).AddFiles(request).code(), ENOTDIR);
  request.files = {{"/b", 0644, 2, 3, 0}};
  EXPECT_EQ(Contents().AddFiles(request).code(), EINVAL);
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
