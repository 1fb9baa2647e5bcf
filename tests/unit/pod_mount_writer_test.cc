#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/mount_fixture.h"

namespace usetl::pod {
namespace {

namespace fs = std::filesystem;
using abi::MountOp;

using MountWriterTest = test::MountTest;

TEST_F(MountWriterTest, ChangesADirectory) {
  EXPECT_EQ(Error(MountOp::kMakeDirectory, "a"), 0);
  const uint32_t file = Handle({.op = MountOp::kCreate, .mode = 06640}, "a/f");
  EXPECT_EQ(Error(MountOp::kCreate, "a/f"), EEXIST);
  struct stat info;
  ASSERT_EQ(stat((top() / "mount/a/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);  // never set-user-id
  std::memcpy(region() + 100, "hello", 5);
  MountAnswer answer =
      Ask({.op = MountOp::kWrite, .offset = 100, .size = 5, .position = 2, .handle = file});
  EXPECT_EQ(answer.done.error, 0);
  EXPECT_EQ(answer.done.size, 5u);
  EXPECT_EQ(answer.files.at(0).size, 7u);
  EXPECT_EQ(Text("mount/a/f"), std::string("\0\0hello", 7));
  EXPECT_EQ(Ask({.op = MountOp::kSync, .handle = file}).done.error, 0);
  answer = Ask({.op = MountOp::kTruncate, .position = 3, .handle = file});
  EXPECT_EQ(answer.files.at(0).size, 3u);
  EXPECT_EQ(Error(MountOp::kRename, "a/f", "g"), 0);
  EXPECT_EQ(Text("mount/g"), std::string("\0\0h", 3));
  EXPECT_EQ(Error(MountOp::kReplace, "g"), 0);
  EXPECT_EQ(fs::file_size(top() / "mount/g"), 0u);
  EXPECT_EQ(Ask({.op = MountOp::kMode, .mode = 0600}, "g").done.error, 0);
  constexpr uint64_t kSecond = 1'000'000'000;
  EXPECT_EQ(
      Ask({.op = MountOp::kTimes, .offset = ~0ull, .position = 5 * kSecond + 7}, "g").done.error,
      0);
  ASSERT_EQ(stat((top() / "mount/g").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 5);
  EXPECT_EQ(info.st_mtim.tv_nsec, 7);
  EXPECT_GT(info.st_atim.tv_sec, 5);
  EXPECT_EQ(Error(MountOp::kSymlink, "link", "../outside"), 0);
  EXPECT_EQ(fs::read_symlink(top() / "mount/link"), "../outside");
  EXPECT_EQ(Error(MountOp::kRemove, "link"), 0);
  EXPECT_EQ(Error(MountOp::kRemove, "g"), 0);
  EXPECT_EQ(Error(MountOp::kRemoveDirectory, "a"), 0);
  EXPECT_TRUE(fs::is_empty(top() / "mount"));
  EXPECT_EQ(Text("outside"), "secret");
}

TEST_F(MountWriterTest, NeverLeavesTheMount) {
  fs::create_symlink("../outside", top() / "mount/file");
  fs::create_symlink("..", top() / "mount/up");
  for (const char* path :
       {"../outside", "..", ".", "/etc/passwd", "a//b", "a/", "./a", "up/../x"}) {
    for (const MountOp op :
         {MountOp::kReplace, MountOp::kRemove, MountOp::kLook, MountOp::kOpen, MountOp::kList}) {
      EXPECT_EQ(Error(op, path), EINVAL) << path;
    }
    EXPECT_EQ(Error(MountOp::kRename, "file", path), EINVAL) << path;
  }
  EXPECT_EQ(Error(MountOp::kReplace, std::string_view("a\0b", 3)), EINVAL);
  EXPECT_EQ(Error(MountOp::kReplace, std::string(256, 'a')), EINVAL);
  for (const MountOp op : {MountOp::kReplace, MountOp::kOpen, MountOp::kMode}) {
    EXPECT_EQ(Error(op, "file"), ELOOP);
    EXPECT_EQ(Error(op, "up/outside"), ELOOP);
  }
  EXPECT_EQ(Error(MountOp::kList, "up"), ELOOP);
  EXPECT_EQ(Error(MountOp::kRemove, "up/outside"), ELOOP);
  EXPECT_EQ(Error(MountOp::kRename, "file", "up/moved"), ELOOP);
  EXPECT_EQ(Text("outside"), "secret");
}

TEST_F(MountWriterTest, TouchesRegularFilesOnly) {
  ASSERT_EQ(mkfifo((top() / "mount/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Error(MountOp::kReplace, "fifo"), EPERM);
  EXPECT_EQ(Error(MountOp::kOpen, "fifo"), EPERM);
  EXPECT_EQ(Error(MountOp::kOpen, "."), EINVAL);
  EXPECT_EQ(Error(MountOp::kOpen, ""), ENOENT);
}

TEST_F(MountWriterTest, AppendsBehindWhatOthersWrote) {
  const uint32_t file = Handle({.op = MountOp::kCreate, .mode = 0644}, "log");
  std::ofstream(top() / "mount/log") << "theirs ";
  std::memcpy(region(), "mine", 4);
  const MountAnswer answer =
      Ask({.op = MountOp::kWrite, .flags = abi::kMountAppend, .size = 4, .handle = file});
  EXPECT_EQ(answer.done.size, 4u);
  EXPECT_EQ(Text("mount/log"), "theirs mine");
}

TEST_F(MountWriterTest, ChangesAFile) {
  std::vector<Fd> roots;
  roots.emplace_back(open((top() / "file").c_str(), O_WRONLY));
  const MountWriter writer(std::move(roots), 4, &view());
  const auto on_file = [&](MountOp op, uint64_t size, uint64_t position, const char* path = "") {
    return writer.Apply({{.op = op, .mount = 4, .size = size, .position = position}, path, {}});
  };
  EXPECT_EQ(on_file(MountOp::kTruncate, 0, 3), 0);
  EXPECT_EQ(on_file(MountOp::kWrite, 2, 3), 0);
  EXPECT_EQ(Text("file"), "oldxx");
  EXPECT_EQ(on_file(MountOp::kMode, 0, 0), EPERM);
  EXPECT_EQ(on_file(MountOp::kRemove, 0, 0), EPERM);
  EXPECT_EQ(on_file(MountOp::kWrite, 1, 0, "below"), ENOTDIR);
  EXPECT_EQ(writer.Apply({{.op = MountOp::kTruncate, .mount = 3}, {}, {}}), EINVAL);
}

TEST_F(MountWriterTest, ChangesAnOpenFile) {
  const uint32_t file = Handle({.op = MountOp::kCreate, .mode = 0644}, "log");
  fs::rename(top() / "mount/log", top() / "mount/log.1");
  std::ofstream(top() / "mount/log");
  const MountAnswer answer =
      Ask({.op = MountOp::kMode, .mode = 0600, .flags = abi::kMountOpened, .handle = file}, "log");
  EXPECT_EQ(answer.done.error, 0);
  EXPECT_EQ(answer.files.at(0).mode, 0600u);
  abi::MountChange times{.op = MountOp::kTimes, .flags = abi::kMountOpened, .handle = file};
  times.position = 7;
  times.offset = abi::kMountTimeStays;
  EXPECT_EQ(Ask(times).files.at(0).modified_ns, 7u);
  times.handle = file + 1;
  EXPECT_EQ(Ask(times).done.error, EBADF);
  struct stat moved, other;
  ASSERT_EQ(stat((top() / "mount/log.1").c_str(), &moved), 0);
  ASSERT_EQ(stat((top() / "mount/log").c_str(), &other), 0);
  EXPECT_EQ(moved.st_mode & 0777, 0600u);
  EXPECT_EQ(other.st_mode & 0777, 0666u);
  EXPECT_NE(other.st_mtim.tv_sec, 0);
}

TEST_F(MountWriterTest, SetsTimesOfLinksThemselves) {
  fs::create_symlink("../outside", top() / "mount/link");
  constexpr uint64_t kSecond = 1'000'000'000;
  EXPECT_EQ(
      Ask({.op = MountOp::kTimes, .offset = abi::kMountTimeNow, .position = 5 * kSecond}, "link")
          .done.error,
      0);
  struct stat info;
  ASSERT_EQ(lstat((top() / "mount/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 5);
  EXPECT_GT(info.st_atim.tv_sec, 5);
  ASSERT_EQ(stat((top() / "outside").c_str(), &info), 0);
  EXPECT_NE(info.st_mtim.tv_sec, 5);
}

TEST_F(MountWriterTest, SaysHowMuchWasWritten) {
  const uint32_t file = Handle({.op = MountOp::kCreate, .mode = 0644}, "f");
  const abi::MountChange write{.op = MountOp::kWrite, .size = 100, .position = 50, .handle = file};
  struct sigaction ignored {
  }, before;
  ignored.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(SIGXFSZ, &ignored, &before), 0);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit low{80, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  const MountAnswer partly = Ask(write);
  abi::MountChange next = write;
  next.position = 80;
  const MountAnswer nothing = Ask(next);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  ASSERT_EQ(sigaction(SIGXFSZ, &before, nullptr), 0);
  EXPECT_EQ(partly.done.error, 0);
  EXPECT_EQ(partly.done.size, 30u);
  EXPECT_EQ(partly.files.at(0).size, 80u);
  EXPECT_EQ(nothing.done.error, EFBIG);
  EXPECT_EQ(Ask(write).done.size, 100u);
}

TEST_F(MountWriterTest, ChecksWhatIsWritten) {
  const uint32_t file = Handle({.op = MountOp::kCreate, .mode = 0644}, "f");
  const auto error = [&](abi::MountChange change) {
    change.handle = file;
    return Ask(change).done.error;
  };
  EXPECT_EQ(error({.op = MountOp::kTruncate, .position = ~0ull}), EFBIG);
  EXPECT_EQ(error({.op = MountOp::kWrite, .size = 1, .position = ~0ull}), EFBIG);
  EXPECT_EQ(error({.op = MountOp::kWrite, .size = 1, .position = INT64_MAX}), EFBIG);
  EXPECT_EQ(error({.op = MountOp::kWrite, .offset = kRegion, .size = 1}), EINVAL);
  EXPECT_EQ(error({.op = MountOp::kWrite, .offset = 1, .size = ~0ull}), EINVAL);
  EXPECT_EQ(fs::file_size(top() / "mount/f"), 0u);
}

TEST_F(MountWriterTest, RefusesWhatNoKernelSends) {
  EXPECT_EQ(Ask({.op = MountOp::kCreate, .mount = 1}, "f").done.error, EINVAL);
  EXPECT_EQ(Ask({.op = MountOp::kCreate, .mount = ~0u}, "f").done.error, EINVAL);
  EXPECT_EQ(Ask({.op = MountOp{99}}, "f").done.error, EINVAL);
  EXPECT_EQ(Error(MountOp::kRemoveDirectory, ""), EBUSY);
  EXPECT_EQ(Error(MountOp::kSymlink, "link", ""), EINVAL);
  EXPECT_EQ(Ask({.op = MountOp::kWrite, .size = 1, .handle = 7}).done.error, EBADF);
  EXPECT_EQ(Ask({.op = MountOp::kRead, .size = 1, .handle = abi::kNoHandle}).done.error, EBADF);
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
  for (const uint32_t size : {abi::kMaxName, abi::kMaxName + 1}) {
    change.path_size = size;
    change.text_size = 0;
    std::vector<uint8_t> longer(sizeof change + size);
    std::memcpy(longer.data(), &change, sizeof change);
    EXPECT_EQ(ReadMountChange(longer).ok(), size == abi::kMaxName);
  }
  change.path_size = ~0u;
  change.text_size = 4;  // their sum would fit
  std::memcpy(payload.data(), &change, sizeof change);
  EXPECT_FALSE(ReadMountChange(payload).ok());
}

}  // namespace
}  // namespace usetl::pod
