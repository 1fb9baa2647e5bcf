#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/unit/mount_fixture.h"

namespace usetl::pod {
namespace {

namespace fs = std::filesystem;
using abi::FileType;
using abi::MountOp;

class MountReaderTest : public test::MountTest {
 protected:
  MountReaderTest() {
    fs::create_directories(mount() / "a/b");
    std::ofstream(mount() / "a/b/f") << "content";
    fs::create_symlink("a/b", mount() / "link");
  }
  fs::path mount() const { return top() / "mount"; }
  MountAnswer Look(std::string_view path, uint64_t known = 0) {
    return Ask({.op = MountOp::kLook, .position = known}, path);
  }
  std::multiset<std::string> List(std::string_view path) {
    std::multiset<std::string> names;
    uint64_t position = 0;
    for (;;) {
      const MountAnswer answer = Ask({.op = MountOp::kList, .position = position}, path);
      EXPECT_EQ(answer.done.error, 0);
      EXPECT_LE(answer.text.size(), abi::kMaxListBytes);
      if (answer.text.empty()) return names;
      for (size_t at = 0; at < answer.text.size();) {
        uint16_t size;
        std::memcpy(&size, answer.text.data() + at + 16, sizeof size);
        names.emplace(answer.text.data() + at + 19);
        at += size;
      }
      position = answer.done.size;
    }
  }
};

TEST_F(MountReaderTest, LooksAtEachName) {
  MountAnswer answer = Look("a/b/f");
  EXPECT_EQ(answer.done.error, 0);
  ASSERT_EQ(answer.files.size(), 3u);
  EXPECT_EQ(answer.files[0].type, FileType::kDirectory);
  EXPECT_EQ(answer.files[1].type, FileType::kDirectory);
  EXPECT_EQ(answer.files[2].type, FileType::kRegular);
  struct stat info;
  ASSERT_EQ(stat((mount() / "a/b/f").c_str(), &info), 0);
  EXPECT_EQ(answer.files[2].inode, info.st_ino);
  EXPECT_EQ(answer.files[2].device, info.st_dev);
  EXPECT_EQ(answer.files[2].size, 7u);
  EXPECT_EQ(answer.files[2].settled, 0u);  // it was made just now
  ASSERT_EQ(Look("a/b/f", 2).files.size(), 1u);
  EXPECT_EQ(Look("a/b/f", 2).files[0].inode, info.st_ino);
  // Behind a file nothing is looked for.
  EXPECT_EQ(Look("a/b/f/x").files.size(), 3u);
  ASSERT_EQ(Look("").files.size(), 1u);
  EXPECT_EQ(Look("").files[0].type, FileType::kDirectory);
}

TEST_F(MountReaderTest, SaysWhereAPathEnds) {
  const MountAnswer answer = Look("a/none/f");
  EXPECT_EQ(answer.done.error, ENOENT);
  EXPECT_EQ(answer.files.size(), 1u);
  EXPECT_EQ(Look("none/f", 1).done.error, ENOENT);
  EXPECT_EQ(Look("a/b/f/x", 3).done.error, ENOTDIR);
  // No more names than it has.
  EXPECT_TRUE(Look("a/b", 5).files.empty());
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "d/";
  fs::create_directories(mount() / deep);
  deep.pop_back();
  EXPECT_EQ(Look(deep).files.size(), abi::kMaxLookNames);
}

TEST_F(MountReaderTest, GivesTheTargetOfALink) {
  const MountAnswer answer = Look("link/f");
  EXPECT_EQ(answer.done.error, 0);
  ASSERT_EQ(answer.files.size(), 1u);
  EXPECT_EQ(answer.files[0].type, FileType::kSymlink);
  EXPECT_EQ(answer.text, "a/b");
  EXPECT_EQ(Look("link/f", 1).done.error, ENOENT);
}

TEST_F(MountReaderTest, LeavesOutWhatIsOfNoUse) {
  ASSERT_EQ(mkfifo((mount() / "fifo").c_str(), 0600), 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  std::strncpy(address.sun_path, (mount() / "socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  for (const char* name : {"fifo", "socket"}) EXPECT_EQ(Look(name).done.error, ENOENT) << name;
  EXPECT_EQ(List(""), (std::multiset<std::string>{".", "..", "a", "link"}));
  EXPECT_EQ(List("a"), (std::multiset<std::string>{".", "..", "b"}));
  EXPECT_EQ(Error(MountOp::kList, "a/b/f"), ENOTDIR);
  EXPECT_EQ(Ask({.op = MountOp::kList, .position = ~0ull}, "a").done.error, EINVAL);
}

TEST_F(MountReaderTest, ListsManyNames) {
  std::multiset<std::string> made{".", ".."};
  for (int i = 0; i < 3000; ++i) {
    made.insert("name-" + std::to_string(i));
    std::ofstream(mount() / "a/b" / ("name-" + std::to_string(i)));
  }
  fs::remove(mount() / "a/b/f");
  EXPECT_EQ(List("a/b"), made);
}

TEST_F(MountReaderTest, ReadsAnOpenFile) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * 7919) + " ";
  std::ofstream(mount() / "big") << text;
  const abi::MountChange open{.op = MountOp::kOpen, .flags = abi::kMountReads, .size = 5000};
  const MountAnswer first = Ask(open, "big");
  EXPECT_EQ(Read(first), text.substr(0, kBuffer));  // no more at a time
  EXPECT_EQ(first.files.at(0).size, text.size());
  fs::remove(mount() / "big");
  std::ofstream(mount() / "big") << "another file";
  abi::MountChange read{.op = MountOp::kRead, .size = 20, .position = text.size() - 10};
  read.handle = first.done.handle;
  const MountAnswer last = Ask(read);
  EXPECT_EQ(Read(last), text.substr(text.size() - 10));
  EXPECT_EQ(last.files.at(0).links, 0u);
  EXPECT_EQ(Ask({.op = MountOp::kWrite, .size = 1, .handle = read.handle}).done.error, EBADF);
  Ask({.op = MountOp::kClose, .handle = read.handle});
  EXPECT_EQ(Ask(read).done.error, EBADF);
  EXPECT_EQ(Read(Ask(open, "big")), "another file");
}

TEST_F(MountReaderTest, OpensAsItIsAsked) {
  const auto error = [&](uint32_t flags) {
    return Ask({.op = MountOp::kOpen, .flags = flags}, "a/b/f").done.error;
  };
  EXPECT_EQ(error(0), EINVAL);
  EXPECT_EQ(error(abi::kMountReads | abi::kMountTruncates), EINVAL);
  EXPECT_EQ(error(abi::kMountReads | abi::kMountWrites), 0);
  EXPECT_EQ(Text("mount/a/b/f"), "content");
  EXPECT_EQ(error(abi::kMountWrites | abi::kMountTruncates), 0);
  EXPECT_EQ(Text("mount/a/b/f"), "");
}

TEST_F(MountReaderTest, BoundsOpenFiles) {
  const abi::MountChange open{.op = MountOp::kOpen, .flags = abi::kMountReads};
  for (uint32_t i = 0; i < abi::kMaxMountHandles; ++i) ASSERT_EQ(Handle(open, "a/b/f"), i);
  EXPECT_EQ(Ask(open, "a/b/f").done.error, ENFILE);
  EXPECT_EQ(Error(MountOp::kCreate, "g"), ENFILE);
  EXPECT_FALSE(fs::exists(mount() / "g"));
  Ask({.op = MountOp::kClose, .handle = 17});
  Ask({.op = MountOp::kClose, .handle = abi::kNoHandle});
  EXPECT_EQ(Handle(open, "a/b/f"), 17u);
}

TEST_F(MountReaderTest, SaysWhatAUserMayDo) {
  const auto access = [&](std::string_view path, uint32_t mode) {
    return Ask({.op = MountOp::kAccess, .mode = mode}, path).done.error;
  };
  EXPECT_EQ(access("a/b/f", R_OK | W_OK), 0);
  EXPECT_EQ(access("", R_OK | W_OK | X_OK), 0);
  EXPECT_EQ(access("link", R_OK), 0);
  EXPECT_EQ(access("a/b/f", X_OK), EACCES);  // nobody may
  EXPECT_EQ(access("none", R_OK), ENOENT);
  EXPECT_EQ(access("a/b/f", 8), EINVAL);
  EXPECT_EQ(access("link/f", R_OK), ELOOP);  // no link is followed here
}

TEST_F(MountReaderTest, SaysWhatRoomThereIs) {
  struct statfs info;
  ASSERT_EQ(statfs(mount().c_str(), &info), 0);
  const auto check = [&](const MountAnswer& answer) {
    ASSERT_EQ(answer.done.error, 0);
    abi::MountedSpace space;
    ASSERT_EQ(answer.text.size(), sizeof space);
    std::memcpy(&space, answer.text.data(), sizeof space);
    EXPECT_EQ(space.type, static_cast<uint64_t>(info.f_type));
    EXPECT_EQ(space.block_size, static_cast<uint64_t>(info.f_bsize));
    EXPECT_EQ(space.blocks, info.f_blocks);
    EXPECT_EQ(space.files, info.f_files);
    EXPECT_EQ(space.name_length, static_cast<uint64_t>(info.f_namelen));
    EXPECT_LE(space.available, space.blocks);
  };
  check(Ask({.op = MountOp::kSpace}));
  check(Ask({.op = MountOp::kSpace}, "a/b/f"));
  const uint32_t handle = Handle({.op = MountOp::kOpen, .flags = abi::kMountReads}, "a/b/f");
  fs::remove(mount() / "a/b/f");
  check(Ask({.op = MountOp::kSpace, .flags = abi::kMountOpened, .handle = handle}));
  EXPECT_EQ(Ask({.op = MountOp::kSpace}, "a/b/f").done.error, ENOENT);
}

TEST_F(MountReaderTest, SaysWhatAFileTakes) {
  std::ofstream(mount() / "sparse") << "x";
  fs::resize_file(mount() / "sparse", 1 << 30);
  const MountAnswer answer = Look("sparse");
  EXPECT_EQ(answer.files.at(0).size, 1u << 30);
  EXPECT_LT(answer.files.at(0).blocks, 1000u);
  std::ofstream(mount() / "full") << std::string(1 << 20, 'x') << std::flush;
  const uint32_t handle =
      Handle({.op = MountOp::kOpen, .flags = abi::kMountReads | abi::kMountWrites}, "full");
  Ask({.op = MountOp::kSync, .handle = handle});  // where blocks are given late
  EXPECT_GE(Look("full").files.at(0).blocks, (1u << 20) / 512);
}

TEST(MountAnswerTest, SizesMustMatch) {
  MountAnswer answer = MountAnswer::Error(0);
  answer.files.resize(2);
  answer.text = "text";
  const std::vector<uint8_t> bytes = answer.Pack();
  const Result<MountAnswer> read = MountAnswer::Unpack(bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->files.size(), 2u);
  EXPECT_EQ(read->text, "text");
  for (const size_t less : {size_t{1}, size_t{5}, bytes.size() - 3, bytes.size()}) {
    EXPECT_FALSE(MountAnswer::Unpack(std::span(bytes).first(bytes.size() - less)).ok()) << less;
  }
}

}  // namespace
}  // namespace usetl::pod
