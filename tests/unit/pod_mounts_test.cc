#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>

#include "tests/unit/mount_fixture.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/pod/mounts.h"

namespace usetl::pod {
namespace {

using abi::MountOp;

// A worker's part, with the service's answers given by hand.
class MountsTest : public test::MountTest {
 protected:
  static constexpr uint64_t kHostRegion = 8 << 20;

  MountsTest() : memory_(kHostRegion), host_(memory_.data(), kHostRegion, /*huge=*/false) {
    host_.Format();
    Result<std::pair<Fd, Fd>> ends = ipc::Pair();
    EXPECT_TRUE(ends.ok());
    service_ = std::move(ends->second);
    constexpr size_t kSize = MountService::kBuffer;
    void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    buffer_ = {static_cast<uint8_t*>(at), kSize};
    std::vector<Fd> roots;
    roots.emplace_back(open((top() / "mount").c_str(), O_PATH | O_DIRECTORY));
    server_.emplace(std::move(roots), &view(), buffer_);
    const Fd file(open((top() / "file").c_str(), O_RDONLY));
    Result<Mounts> mounts = Mounts::Create({std::move(ends->first), Mapping(at, kSize)}, 1, {},
                                           {&host_, &view(), file});
    EXPECT_TRUE(mounts.ok());
    mounts_.emplace(std::move(*mounts));
    EXPECT_EQ(ipc::Receive(service_.get())->fds.size(), 1u);  // the guest region
  }

  Status Post(MountAsker* asker, abi::MountChange change, std::string_view path = "") {
    change.path_size = static_cast<uint32_t>(path.size());
    std::vector<uint8_t> payload(sizeof change + path.size());
    std::memcpy(payload.data(), &change, sizeof change);
    std::memcpy(payload.data() + sizeof change, path.data(), path.size());
    return mounts_->OnChange(asker, 7, payload);
  }
  // The service's next answer; false: it was asked nothing.
  bool Serve() {
    pollfd fd{service_.get(), POLLIN, 0};
    if (poll(&fd, 1, 0) != 1) return false;
    const Result<ipc::Message> message = ipc::Receive(service_.get());
    EXPECT_TRUE(message.ok());
    const Result<MountOrder> order = ReadMountChange(message->bytes);
    EXPECT_TRUE(order.ok());
    EXPECT_TRUE(ipc::Send(service_.get(), server_->Answer(*order).Pack()).ok());
    mounts_->OnService();
    return true;
  }
  MountAnswer Take(MountAsker* asker) {
    MountAnswer taken = MountAnswer::Error(-1);
    mounts_->Answer(asker, [&](uint64_t id, std::span<const uint8_t> answer) {
      EXPECT_EQ(id, 7u);
      Result<MountAnswer> unpacked = MountAnswer::Unpack(answer);
      EXPECT_TRUE(unpacked.ok());
      taken = *unpacked;
      return true;
    });
    return taken;
  }
  MountAnswer Ask(MountAsker* asker, const abi::MountChange& change, std::string_view path = "") {
    EXPECT_TRUE(Post(asker, change, path).ok());
    while (Serve()) {
    }
    return Take(asker);
  }
  std::string Content(const MountAnswer& answer) const {
    const uint8_t* at = memory_.data() + answer.done.offset;
    return {at, at + answer.done.size};
  }

  std::vector<uint8_t> memory_;
  HostRegion host_;
  std::span<uint8_t> buffer_;
  std::optional<MountServer> server_;
  Fd service_;
  std::optional<Mounts> mounts_;
  MountAsker function_{/*clone=*/false}, clone_{/*clone=*/true};
};

constexpr abi::MountChange kOpenToRead{.op = MountOp::kOpen, .flags = abi::kMountReads};

TEST_F(MountsTest, BringsAFileInPieceByPiece) {
  std::string text;
  while (text.size() < 3 * MountService::kBuffer) text += std::to_string(text.size()) + " ";
  std::ofstream(top() / "mount/big") << text;
  const uint64_t free = host_.free_bytes();
  abi::MountChange open = kOpenToRead;
  open.size = text.size();
  const MountAnswer answer = Ask(&function_, open, "big");
  EXPECT_EQ(answer.done.error, 0);
  EXPECT_EQ(answer.files.at(0).size, text.size());
  EXPECT_EQ(Content(answer), text);
  // A file that ends earlier than was thought.
  abi::MountChange read{.op = MountOp::kRead, .size = text.size(), .position = 100};
  read.handle = answer.done.handle;
  const MountAnswer rest = Ask(&function_, read);
  EXPECT_EQ(Content(rest), text.substr(100));
  read.position = text.size();
  const MountAnswer end = Ask(&function_, read);
  EXPECT_EQ(end.done.entry, abi::kNoEntry);
  EXPECT_EQ(end.done.size, 0u);
  EXPECT_FALSE(mounts_->OnRelease(&clone_, answer.done.entry));
  EXPECT_TRUE(mounts_->OnRelease(&function_, answer.done.entry));
  EXPECT_FALSE(mounts_->OnRelease(&function_, answer.done.entry));
  EXPECT_TRUE(mounts_->OnRelease(&function_, rest.done.entry));
  EXPECT_EQ(host_.free_bytes(), free);
}

TEST_F(MountsTest, BoundsWhatIsBroughtIn) {
  std::ofstream(top() / "mount/f") << "x";
  abi::MountChange open = kOpenToRead;
  open.size = kHostRegion * 3 / 4 + 1;
  EXPECT_EQ(Ask(&function_, open, "f").done.error, ENOSPC);
  open.size = ~0ull;
  EXPECT_EQ(Ask(&function_, open, "f").done.error, ENOSPC);
  open.size = 1;
  abi::MountChange read{.op = MountOp::kRead, .size = 1};
  read.handle = Ask(&function_, open, "f").done.handle;
  int error = 0, count = 1;
  for (; error == 0 && count < 2000; ++count) error = Ask(&function_, read).done.error;
  EXPECT_EQ(error, ENOSPC);
  EXPECT_LT(count, 1000);
  // Bodies of HTTP have entries left.
  Result<BodyCursor> body = host_.Reserve(1);
  ASSERT_TRUE(body.ok());
  EXPECT_TRUE(body->Publish().ok());
}

TEST_F(MountsTest, AnswersWhoAsks) {
  std::ofstream(top() / "mount/f") << "text";
  const abi::MountChange look{.op = MountOp::kLook};
  EXPECT_TRUE(Post(&function_, look, "f").ok());
  EXPECT_EQ(Post(&function_, look, "f").code(), EPROTO);  // two at once
  EXPECT_TRUE(Post(&clone_, look, "none").ok());
  EXPECT_EQ(Take(&function_).done.error, -1);
  EXPECT_TRUE(Serve());
  EXPECT_EQ(Take(&clone_).done.error, -1);
  EXPECT_EQ(Take(&function_).files.at(0).size, 4u);
  EXPECT_TRUE(Serve());
  EXPECT_EQ(Take(&clone_).done.error, ENOENT);
}

TEST_F(MountsTest, ClonesOnlyRead) {
  std::ofstream(top() / "mount/f") << "text";
  for (const MountOp op : {MountOp::kCreate, MountOp::kReplace, MountOp::kWrite, MountOp::kTruncate,
                           MountOp::kMode, MountOp::kMakeDirectory, MountOp::kRemove,
                           MountOp::kRename, MountOp::kSymlink, MountOp::kTimes, MountOp{99}}) {
    EXPECT_EQ(Ask(&clone_, {.op = op}, "f").done.error, EROFS);
  }
  abi::MountChange open = kOpenToRead;
  open.flags |= abi::kMountWrites;
  EXPECT_EQ(Ask(&clone_, open, "f").done.error, EROFS);
  EXPECT_EQ(Ask(&function_, {.op = MountOp::kClose, .handle = 0}).done.error, EINVAL);
  abi::MountChange read{.op = MountOp::kRead, .size = 4};
  read.handle = Ask(&function_, kOpenToRead, "f").done.handle;
  EXPECT_EQ(Ask(&clone_, read).done.error, EBADF);
  mounts_->OnClose(&clone_, read.handle);
  EXPECT_EQ(Content(Ask(&function_, read)), "text");
}

TEST_F(MountsTest, NeverWaitsForAServiceThatHangs) {
  // Programs of exec ask and are killed, one after the other.
  const std::string path(abi::kMaxName, 'x');
  int error = -1, asked = 0;
  for (; error == -1 && asked < 1000; ++asked) {
    MountAsker clone(/*clone=*/true);
    EXPECT_TRUE(Post(&clone, {.op = MountOp::kLook}, path).ok());
    error = Take(&clone).done.error;
    mounts_->Leave(&clone);
  }
  EXPECT_EQ(error, EIO);
  EXPECT_LT(asked, 100);
  // It goes on.
  while (Serve()) {
  }
  EXPECT_EQ(Ask(&function_, {.op = MountOp::kLook}, "none").done.error, ENOENT);
}

TEST_F(MountsTest, ClosingManyFilesLeavesRoomToAsk) {
  std::ofstream(top() / "mount/f") << "text";
  std::vector<uint32_t> handles;
  for (uint32_t i = 0; i < abi::kMaxMountHandles; ++i) {
    handles.push_back(Ask(&function_, kOpenToRead, "f").done.handle);
  }
  for (const uint32_t handle : handles) mounts_->OnClose(&function_, handle);
  EXPECT_TRUE(Post(&function_, kOpenToRead, "f").ok());
  EXPECT_EQ(Take(&function_).done.error, -1);
  while (Serve()) {
  }
  EXPECT_EQ(Take(&function_).done.error, 0);
}

TEST_F(MountsTest, MappingsLeaveRoomToRead) {
  std::ofstream(top() / "mount/f") << "x";
  abi::MountChange read{.op = MountOp::kRead, .flags = abi::kMountMaps, .size = 1};
  read.handle = Ask(&function_, kOpenToRead, "f").done.handle;
  read.size = kHostRegion * 3 / 4 - (512 << 10);
  EXPECT_EQ(Ask(&function_, read).done.error, ENOSPC);
  read.flags = 0;
  EXPECT_EQ(Ask(&function_, read).done.error, 0);
  // The same of entries.
  read.flags = abi::kMountMaps;
  read.size = 1;
  int error = 0;
  for (int i = 0; error == 0 && i < 1000; ++i) error = Ask(&function_, read).done.error;
  EXPECT_EQ(error, ENOSPC);
  read.flags = 0;
  const MountAnswer answer = Ask(&function_, read);
  EXPECT_EQ(Content(answer), "x");
}

TEST_F(MountsTest, ClosesWhatItCannotBringIn) {
  std::ofstream(top() / "mount/big") << std::string(2 * MountService::kBuffer, 'x');
  abi::MountChange open = kOpenToRead;
  open.size = 2 * MountService::kBuffer;
  EXPECT_TRUE(Post(&function_, open, "big").ok());
  EXPECT_TRUE(Serve());  // the first piece
  const Result<ipc::Message> second = ipc::Receive(service_.get());
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(ipc::Send(service_.get(), MountAnswer::Error(ESTALE).Pack()).ok());
  mounts_->OnService();
  const MountAnswer answer = Take(&function_);
  EXPECT_EQ(answer.done.error, ESTALE);
  EXPECT_EQ(answer.done.handle, abi::kNoHandle);
  while (Serve()) {
  }
  EXPECT_EQ(Ask(&function_, kOpenToRead, "big").done.handle, 0u);
}

TEST_F(MountsTest, NothingStaysOfWhoLeaves) {
  std::ofstream(top() / "mount/f") << "text";
  const uint64_t free = host_.free_bytes();
  abi::MountChange open = kOpenToRead;
  open.size = 4;
  const uint32_t handle = Ask(&clone_, open, "f").done.handle;
  EXPECT_TRUE(Post(&clone_, open, "f").ok());
  mounts_->Leave(&clone_);
  while (Serve()) {
  }
  EXPECT_EQ(host_.free_bytes(), free);
  // Both files that it had open were closed.
  EXPECT_EQ(Ask(&function_, open, "f").done.handle, handle);
}

TEST_F(MountsTest, SurvivesTheService) {
  const abi::MountChange look{.op = MountOp::kLook};
  EXPECT_TRUE(Post(&function_, look).ok());
  service_.Reset();
  mounts_->OnService();
  EXPECT_EQ(Take(&function_).done.error, EIO);
  EXPECT_EQ(mounts_->service_fd(), -1);
  EXPECT_TRUE(Post(&function_, look).ok());
  EXPECT_EQ(Take(&function_).done.error, EIO);
  EXPECT_TRUE(mounts_->Finish(function_, std::chrono::milliseconds(0)));
}

TEST_F(MountsTest, ServiceMayLie) {
  abi::MountChange open = kOpenToRead;
  open.size = 10;
  EXPECT_TRUE(Post(&function_, open, "f").ok());
  MountAnswer lie = MountAnswer::Error(0);
  lie.done.size = ~0ull;
  EXPECT_TRUE(ipc::Send(service_.get(), lie.Pack()).ok());
  mounts_->OnService();
  EXPECT_EQ(Take(&function_).done.size, 10u);
  EXPECT_TRUE(Post(&function_, open, "f").ok());
  EXPECT_TRUE(ipc::Send(service_.get(), ipc::Bytes(uint64_t{1})).ok());
  mounts_->OnService();
  EXPECT_EQ(Take(&function_).done.error, EIO);
}

}  // namespace
}  // namespace usetl::pod
