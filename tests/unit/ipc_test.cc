#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "gtest/gtest.h"
#include "tests/unit/temporary_directory.h"
#include "vmm/ipc/socket.h"

namespace usetl::ipc {
namespace {

TEST(Ipc, WhoDoesNotAcceptIsNotWaitedForLonger) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path().string() + "/socket";
  const Result<Fd> listener = Listen(path);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  ASSERT_EQ(listen(listener->get(), 0), 0);
  std::vector<Fd> queued;
  constexpr std::chrono::milliseconds kLimit{20};
  for (int i = 0; i < 10; ++i) {
    Result<Fd> connected = Connect(path, kLimit);
    if (!connected.ok()) {
      EXPECT_EQ(connected.status().code(), ETIMEDOUT) << connected.status().message();
      return;
    }
    queued.push_back(std::move(*connected));
  }
  FAIL() << "the queue is never full";
}

TEST(Ipc, SocketsAreTheirOwnersAloneAndTheMaskIsLeftAlone) {
  const test::TemporaryDirectory directory;
  const mode_t before = umask(022);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&directory, i] {
      for (int k = 0; k < 200; ++k) {
        const std::string path = directory.path().string() + "/" + std::to_string(i * 1000 + k);
        const Result<Fd> listener = Listen(path);
        ASSERT_TRUE(listener.ok()) << listener.status().message();
        struct stat info;
        ASSERT_EQ(stat(path.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777, 0600u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(umask(before), 022u);
}

}  // namespace
}  // namespace usetl::ipc
