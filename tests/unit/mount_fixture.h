// mount_fixture.h: a mounted directory, and what a mount service answers about it.
#ifndef USETL_TESTS_UNIT_MOUNT_FIXTURE_H_
#define USETL_TESTS_UNIT_MOUNT_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"
#include "vmm/proxy/pod/mount_server.h"

namespace usetl::test {

class MountTest : public testing::Test {
 protected:
  static constexpr uint64_t kRegion = 64 << 10, kBuffer = 1000;

  MountTest() : region_(kRegion, 'x'), buffer_(kBuffer), view_(region(), kRegion) {
    umask(0);
    std::filesystem::create_directory(top() / "mount");
    std::ofstream(top() / "outside") << "secret";
    std::ofstream(top() / "file") << "old text";
    std::vector<Fd> roots;
    roots.emplace_back(open((top() / "mount").c_str(), O_PATH | O_DIRECTORY));
    server_.emplace(std::move(roots), &view_, buffer_);
  }

  pod::MountAnswer Ask(abi::MountChange change, std::string_view path = "",
                       std::string_view text = "") {
    return server_->Answer({change, path, text});
  }
  int Error(abi::MountOp op, std::string_view path, std::string_view text = "") {
    return Ask({.op = op, .mode = 0755, .flags = abi::kMountReads}, path, text).done.error;
  }
  // Of what opens a file.
  uint32_t Handle(const abi::MountChange& change, std::string_view path) {
    const pod::MountAnswer answer = Ask(change, path);
    EXPECT_EQ(answer.done.error, 0) << path;
    EXPECT_NE(answer.done.handle, abi::kNoHandle) << path;
    return answer.done.handle;
  }
  std::string Text(const std::filesystem::path& name) {
    std::stringstream text;
    text << std::ifstream(top() / name).rdbuf();
    return text.str();
  }
  // What was read last.
  std::string Read(const pod::MountAnswer& answer) const {
    return {buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(answer.done.size)};
  }

  const std::filesystem::path& top() const { return made_.path(); }
  uint8_t* region() { return region_.data(); }
  const GuestRegionView& view() const { return view_; }

 private:
  const TemporaryDirectory made_;
  std::vector<uint8_t> region_, buffer_;
  GuestRegionView view_;
  std::optional<pod::MountServer> server_;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_MOUNT_FIXTURE_H_
