#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>

#include "vmm/proxy/pod/log.h"
#include "vmm/proxy/pod/log_file.h"
#include "vmm/proxy/pod/log_lines.h"

namespace usetl::pod {
namespace {

// 2026-01-02T03:04:05.000000006Z
constexpr int64_t kNow = 1767323045000000006;
const std::string kStamp = "2026-01-02T03:04:05.000000006Z ";

std::string ContentOf(int fd) {
  struct stat info;
  EXPECT_EQ(fstat(fd, &info), 0);
  std::string text(info.st_size, '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), info.st_size);
  return text;
}

Fd NewFile() { return Fd(memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING)); }

TEST(LogLines, KeepsStreamsApartAndWaitsForLineFeeds) {
  LogLines lines;
  std::string text;
  EXPECT_EQ(lines.Add(1, "he", kNow, &text), 0u);
  EXPECT_EQ(lines.Add(2, "oops\n", kNow, &text), 1u);
  EXPECT_EQ(lines.Add(1, "llo\n\nrest", kNow, &text), 2u);
  EXPECT_EQ(text,
            kStamp + "stderr F oops\n" + kStamp + "stdout F hello\n" + kStamp + "stdout F \n");
  text.clear();
  EXPECT_EQ(lines.Finish(kNow, &text), 1u);
  EXPECT_EQ(text, kStamp + "stdout P rest\n");
  EXPECT_EQ(lines.Finish(kNow, &text), 0u);
}

TEST(LogLines, CutsLongLines) {
  LogLines lines;
  std::string text;
  const std::string piece(LogLines::kMaxPiece, 'x');
  EXPECT_EQ(lines.Add(1, piece + piece + "y\n", kNow, &text), 3u);
  EXPECT_EQ(text, kStamp + "stdout P " + piece + "\n" + kStamp + "stdout P " + piece + "\n" +
                      kStamp + "stdout F y\n");
  text.clear();
  EXPECT_EQ(lines.Add(1, piece + "\n", kNow, &text), 1u) << "it fits: no empty line behind it";
  EXPECT_EQ(text, kStamp + "stdout F " + piece + "\n");
}

TEST(LogFile, CompletesATornLineAndTellsOfLosses) {
  // A limit on the size of files is a disk that becomes full in the midst of a write.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  Fd target(open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600));
  ASSERT_TRUE(target.ok());
  LogFile file{Fd(dup(target.get()))};
  const rlimit small{5000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string torn = std::string(8000, 'a') + "\n";
  file.Write("first\n" + torn + "second\nthird\n");
  EXPECT_EQ(ContentOf(target.get()).size(), 5000u);
  EXPECT_EQ(file.lost(), 2u);
  EXPECT_TRUE(file.owes());
  EXPECT_FALSE(file.Settle());
  file.Write("fourth\n");
  EXPECT_EQ(file.lost(), 3u);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(file.Settle());
  file.Write("fifth\n");
  signal(SIGXFSZ, handler);
  const std::string text = ContentOf(target.get());
  EXPECT_TRUE(text.starts_with("first\n" + torn)) << "the torn line is whole";
  EXPECT_NE(text.find("usetl: 3 lines were lost: writing the log: File too large\nfifth\n"),
            text.npos);
  EXPECT_FALSE(file.owes());
  EXPECT_EQ(file.lost(), 3u);
}

TEST(LogFile, SaysWhyLinesAreLost) {
  Fd target = NewFile();
  LogFile file{Fd(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC))};
  file.Write("one\ntwo\n");
  file.Write("three\n");
  EXPECT_EQ(file.lost(), 3u);
  file.Reopen(Fd(dup(target.get())));
  file.Write("four\n");
  const std::string text = ContentOf(target.get());
  EXPECT_NE(
      text.find(" stderr F usetl: 3 lines were lost: no space left on the log's disk\nfour\n"),
      text.npos)
      << text;
  LogFile nowhere{Fd()};
  nowhere.Write("x\n");
  nowhere.Lose(3, ETIMEDOUT);
  EXPECT_EQ(nowhere.lost(), 0u);
}

TEST(Log, WritesAllInOrder) {
  Fd target = NewFile();
  {
    Log log{Fd(dup(target.get()))};
    for (int i = 0; i < 5000; ++i) log.Add(1, std::to_string(i) + "\n");
    log.Add(2, "end");
    EXPECT_TRUE(log.Finish(std::chrono::seconds(30)));
    EXPECT_EQ(log.lines_lost(), 0u);
  }
  const std::string text = ContentOf(target.get());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5001);
  size_t at = 0;
  for (int i = 0; i < 5000; ++i) {
    at = text.find(" stdout F " + std::to_string(i) + "\n", at);
    ASSERT_NE(at, text.npos) << i;
  }
  EXPECT_TRUE(text.ends_with(" stderr P end\n"));
}

TEST(Log, HasNoThreadUntilALineComes) {
  const auto threads = [] {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Threads:")) return std::stoi(line.substr(8));
    }
    return 0;
  };
  const int before = threads();
  Log log{Fd(NewFile())};
  EXPECT_TRUE(log.Finish(std::chrono::seconds(30)));
  EXPECT_EQ(threads(), before);
  log.Add(1, "line\n");
  EXPECT_EQ(threads(), before + 1);
}

TEST(Log, NeverBlocksOnADiskThatHangs) {
  int ends[2];  // nobody reads
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd reader(ends[0]);
  auto log = std::make_unique<Log>(Fd(ends[1]));
  const std::string line = std::string(1000, 'x') + "\n";
  for (int i = 0; i < 5000; ++i) log->Add(1, line);
  EXPECT_GT(log->lines_lost(), 1000u);
  EXPECT_FALSE(log->Finish(std::chrono::milliseconds(1)));
  // The disk works again: the losses are told.
  std::string all;
  std::thread drain([&] {
    char buffer[65536];
    for (ssize_t n; (n = read(reader.get(), buffer, sizeof buffer)) > 0;) all.append(buffer, n);
  });
  EXPECT_TRUE(log->Finish(std::chrono::seconds(30)));
  const uint64_t lost = log->lines_lost();
  log.reset();
  drain.join();
  uint64_t told = 0;
  for (size_t at = 0; (at = all.find("F usetl: ", at)) != all.npos; ++at) {
    told += std::stoull(all.substr(at + 9));
    EXPECT_NE(all.find("lines were lost: the log's disk is too slow", at), all.npos);
  }
  EXPECT_EQ(told, lost);
}

}  // namespace
}  // namespace usetl::pod
