#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/temporary_directory.h"
#include "vmm/proxy/pod/mount_writer.h"

namespace usetl::pod {
namespace {

namespace fs = std::filesystem;
using abi::MountOp;

class MountWriterTest : public testing::Test {
 protected:
  static constexpr uint64_t kRegion = 64 << 10;

  MountWriterTest() : region_(kRegion, 'x'), view_(Bytes(), kRegion) {
    umask(0);
    fs::create_directory(top_ / "mount");
    std::ofstream(top_ / "outside") << "secret";
    std::ofstream(top_ / "file") << "old text";
    std::vector<Fd> roots;
    roots.emplace_back(open((top_ / "mount").c_str(), O_PATH | O_DIRECTORY));
    roots.emplace_back(open((top_ / "file").c_str(), O_WRONLY));
    writer_.emplace(std::move(roots), 3, &view_);
  }

  const uint8_t* Bytes() { return reinterpret_cast<const uint8_t*>(region_.data()); }
  int Apply(abi::MountChange change, std::string_view path, std::string_view text = "") {
    if (change.mount == 0) change.mount = 3;
    return writer_->Apply({change, path, text});
  }
  int Apply(MountOp op, std::string_view path, std::string_view text = "") {
    return Apply({.op = op, .mode = 0755}, path, text);
  }
  std::string Text(const fs::path& name) {
    std::stringstream text;
    text << std::ifstream(top_ / name).rdbuf();
    return text.str();
  }

  const test::TemporaryDirectory made_;
  const fs::path top_ = made_.path();
  std::string region_;
  GuestRegionView view_;
  std::optional<MountWriter> writer_;
};

TEST_F(MountWriterTest, ChangesADirectory) {
  EXPECT_EQ(Apply(MountOp::kMakeDirectory, "a"), 0);
  EXPECT_EQ(Apply({.op = MountOp::kCreate, .mode = 06640}, "a/f"), 0);
  EXPECT_EQ(Apply(MountOp::kCreate, "a/f"), EEXIST);
  struct stat info;
  ASSERT_EQ(stat((top_ / "mount/a/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);  // never set-user-id
  std::memcpy(region_.data() + 100, "hello", 5);
  EXPECT_EQ(Apply({.op = MountOp::kWrite, .offset = 100, .size = 5, .position = 2}, "a/f"), 0);
  EXPECT_EQ(Text("mount/a/f"), std::string("\0\0hello", 7));
  EXPECT_EQ(Apply({.op = MountOp::kTruncate, .position = 3}, "a/f"), 0);
  EXPECT_EQ(Apply(MountOp::kRename, "a/f", "g"), 0);
  EXPECT_EQ(Text("mount/g"), std::string("\0\0h", 3));
  EXPECT_EQ(Apply(MountOp::kReplace, "g"), 0);
  EXPECT_EQ(fs::file_size(top_ / "mount/g"), 0u);
  EXPECT_EQ(Apply({.op = MountOp::kMode, .mode = 0600}, "g"), 0);
  EXPECT_EQ(Apply(MountOp::kSymlink, "link", "../outside"), 0);
  EXPECT_EQ(fs::read_symlink(top_ / "mount/link"), "../outside");
  EXPECT_EQ(Apply(MountOp::kRemove, "link"), 0);
  EXPECT_EQ(Apply(MountOp::kRemove, "g"), 0);
  EXPECT_EQ(Apply(MountOp::kRemoveDirectory, "a"), 0);
  EXPECT_TRUE(fs::is_empty(top_ / "mount"));
  EXPECT_EQ(Text("outside"), "secret");
}

TEST_F(MountWriterTest, NeverLeavesTheMount) {
  fs::create_symlink("../outside", top_ / "mount/file");
  fs::create_symlink("..", top_ / "mount/up");
  for (const char* path :
       {"../outside", "..", ".", "/etc/passwd", "a//b", "a/", "./a", "up/../x"}) {
    EXPECT_EQ(Apply(MountOp::kReplace, path), EINVAL) << path;
    EXPECT_EQ(Apply(MountOp::kRemove, path), EINVAL) << path;
    EXPECT_EQ(Apply(MountOp::kRename, "file", path), EINVAL) << path;
  }
  EXPECT_EQ(Apply(MountOp::kReplace, std::string_view("a\0b", 3)), EINVAL);
  EXPECT_EQ(Apply(MountOp::kReplace, std::string(256, 'a')), EINVAL);
  for (const MountOp op : {MountOp::kReplace, MountOp::kTruncate, MountOp::kMode}) {
    EXPECT_EQ(Apply(op, "file"), ELOOP);
    EXPECT_EQ(Apply(op, "up/outside"), ELOOP);
  }
  EXPECT_EQ(Apply(MountOp::kRemove, "up/outside"), ELOOP);
  EXPECT_EQ(Apply(MountOp::kRename, "file", "up/moved"), ELOOP);
  EXPECT_EQ(Text("outside"), "secret");
}

TEST_F(MountWriterTest, TouchesRegularFilesOnly) {
  ASSERT_EQ(mkfifo((top_ / "mount/fifo").c_str(), 0600), 0);
  EXPECT_NE(Apply(MountOp::kReplace, "fifo"), 0);
  EXPECT_NE(Apply({.op = MountOp::kWrite, .size = 1}, "fifo"), 0);
}

TEST_F(MountWriterTest, ChangesAFile) {
  const auto on_file = [&](MountOp op, uint64_t size, uint64_t position, const char* path = "") {
    return Apply({.op = op, .mount = 4, .size = size, .position = position}, path);
  };
  EXPECT_EQ(on_file(MountOp::kTruncate, 0, 3), 0);
  EXPECT_EQ(on_file(MountOp::kWrite, 2, 3), 0);
  EXPECT_EQ(Text("file"), "oldxx");
  EXPECT_EQ(on_file(MountOp::kMode, 0, 0), EPERM);
  EXPECT_EQ(on_file(MountOp::kRemove, 0, 0), EPERM);
  EXPECT_EQ(on_file(MountOp::kWrite, 1, 0, "below"), ENOTDIR);
}

TEST_F(MountWriterTest, IsBoundedByTheRegion) {
  EXPECT_EQ(Apply(MountOp::kCreate, "f"), 0);
  EXPECT_EQ(Apply({.op = MountOp::kTruncate, .position = kRegion + 1}, "f"), EFBIG);
  EXPECT_EQ(Apply({.op = MountOp::kWrite, .size = 1, .position = kRegion}, "f"), EFBIG);
  EXPECT_EQ(Apply({.op = MountOp::kWrite, .size = 1, .position = ~0ull}, "f"), EFBIG);
  EXPECT_EQ(Apply({.op = MountOp::kWrite, .offset = kRegion, .size = 1}, "f"), EINVAL);
  EXPECT_EQ(Apply({.op = MountOp::kWrite, .offset = 1, .size = ~0ull}, "f"), EINVAL);
  EXPECT_EQ(fs::file_size(top_ / "mount/f"), 0u);
}

TEST_F(MountWriterTest, RefusesWhatNoKernelSends) {
  EXPECT_EQ(Apply({.op = MountOp::kCreate, .mount = 2}, "f"), EINVAL);
  EXPECT_EQ(Apply({.op = MountOp::kCreate, .mount = 5}, "f"), EINVAL);
  EXPECT_EQ(Apply({.op = MountOp::kCreate, .mount = ~0u}, "f"), EINVAL);
  EXPECT_EQ(Apply({.op = MountOp{99}}, "f"), EINVAL);
  EXPECT_EQ(Apply(MountOp::kRemoveDirectory, ""), EBUSY);
  EXPECT_EQ(Apply(MountOp::kSymlink, "link", ""), EINVAL);
}

TEST(MountChangeTest, SizesMustMatch) {
  abi::MountChange change{};
  change.path_size = 2;
  change.text_size = 1;
  std::vector<uint8_t> payload(sizeof change + 3, 'p');
  std::memcpy(payload.data(), &change, sizeof change);
  const Result<MountOrder> order = ReadMountChange(payload);
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(order->path, "pp");
  EXPECT_EQ(order->text, "p");
  for (const size_t size : {sizeof change + 2, sizeof change + 4, sizeof change - 1, size_t{0}}) {
    std::vector<uint8_t> other = payload;
    other.resize(size);
    EXPECT_FALSE(ReadMountChange(other).ok()) << size;
  }
  change.path_size = ~0u;
  change.text_size = 4;  // their sum would fit
  std::memcpy(payload.data(), &change, sizeof change);
  EXPECT_FALSE(ReadMountChange(payload).ok());
}

}  // namespace
}  // namespace usetl::pod
