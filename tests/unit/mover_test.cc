// Moves into cgroups of version 2, with files in place of theirs.
#include "vmm/vmmd/mover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace usetl {
namespace {

std::shared_ptr<CgroupMove> NewMove(int file, pid_t process) {
  std::vector<Fd> files;
  files.emplace_back(fcntl(file, F_DUPFD_CLOEXEC, 0));
  auto move = std::make_shared<CgroupMove>();
  move->files = std::make_shared<const std::vector<Fd>>(std::move(files));
  move->process = process;
  return move;
}

std::vector<std::shared_ptr<CgroupMove>> WaitFor(Mover* mover, size_t count) {
  std::vector<std::shared_ptr<CgroupMove>> over;
  while (over.size() < count) {
    pollfd told{mover->fd(), POLLIN, 0};
    EXPECT_EQ(poll(&told, 1, -1), 1);
    for (auto& move : mover->TakeOver()) over.push_back(std::move(move));
  }
  return over;
}

TEST(Mover, MovesInTurnAndTells) {
  Result<std::unique_ptr<Mover>> mover = Mover::Start();
  ASSERT_TRUE(mover.ok()) << mover.status().message();
  const Fd file(memfd_create("cgroup.procs", MFD_CLOEXEC));
  const auto first = NewMove(file.get(), 12), second = NewMove(file.get(), 345);
  (*mover)->Add(first);
  (*mover)->Add(second);
  const auto over = WaitFor(mover->get(), 2);
  EXPECT_EQ(over[0], first);
  EXPECT_EQ(over[1], second);
  EXPECT_TRUE(first->status.ok());
  char text[16] = {};
  EXPECT_EQ(pread(file.get(), text, sizeof text, 0), 5);
  EXPECT_STREQ(text, "12345");
  EXPECT_TRUE((*mover)->TakeOver().empty());
}

TEST(Mover, TellsWhatCannotBe) {
  Result<std::unique_ptr<Mover>> mover = Mover::Start();
  ASSERT_TRUE(mover.ok()) << mover.status().message();
  const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  (*mover)->Add(NewMove(full.get(), 12));
  EXPECT_EQ(WaitFor(mover->get(), 1)[0]->status.code(), ENOSPC);
}

// A file that is written when somebody reads the other end, and one behind it.
struct Slow {
  Slow() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    reading = Fd(ends[0]);
    const std::string full(fcntl(ends[1], F_GETPIPE_SZ), 'x');
    EXPECT_EQ(write(ends[1], full.data(), full.size()), static_cast<ssize_t>(full.size()));
    std::vector<Fd> files;
    files.emplace_back(ends[1]);
    files.emplace_back(fcntl(behind.get(), F_DUPFD_CLOEXEC, 0));
    move->files = std::make_shared<const std::vector<Fd>>(std::move(files));
    move->process = 12;
  }
  void LetGo() const {
    char page[4096];
    EXPECT_EQ(read(reading.get(), page, sizeof page), static_cast<ssize_t>(sizeof page));
  }
  Fd reading;
  const Fd behind{memfd_create("cgroup.procs", MFD_CLOEXEC)};
  const std::shared_ptr<CgroupMove> move = std::make_shared<CgroupMove>();
};

TEST(Mover, TellsWhatHasBegun) {
  Result<std::unique_ptr<Mover>> mover = Mover::Start();
  ASSERT_TRUE(mover.ok()) << mover.status().message();
  const Slow slow;
  const Fd file(memfd_create("cgroup.procs", MFD_CLOEXEC));
  const auto next = NewMove(file.get(), 345);
  constexpr std::chrono::steady_clock::time_point kNever;
  (*mover)->Add(slow.move);
  (*mover)->Add(next);
  while (slow.move->begun.load() == kNever) poll(nullptr, 0, 1);
  EXPECT_EQ(next->begun.load(), kNever);
  slow.LetGo();
  EXPECT_EQ(WaitFor(mover->get(), 2)[0], slow.move);
  EXPECT_GE(next->begun.load(), slow.move->begun.load());
  EXPECT_EQ(lseek(slow.behind.get(), 0, SEEK_END), 2);
}

TEST(Mover, LeavesOutWhatIsCancelled) {
  Result<std::unique_ptr<Mover>> mover = Mover::Start();
  ASSERT_TRUE(mover.ok()) << mover.status().message();
  const Slow slow;
  const Fd file(memfd_create("cgroup.procs", MFD_CLOEXEC));
  const auto next = NewMove(file.get(), 345);
  (*mover)->Add(slow.move);
  (*mover)->Add(next);
  while (slow.move->begun.load() == std::chrono::steady_clock::time_point()) poll(nullptr, 0, 1);
  slow.move->cancelled = true;
  next->cancelled = true;
  slow.LetGo();
  WaitFor(mover->get(), 2);
  EXPECT_EQ(lseek(slow.behind.get(), 0, SEEK_END), 0) << "its second file was written";
  EXPECT_EQ(lseek(file.get(), 0, SEEK_END), 0);
}

}  // namespace
}  // namespace usetl
