#include "cri/container/process_mark.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

namespace usetl::cri {
namespace {

Status Ended() { return Status(ESRCH, "the process has ended"); }

Result<pid_t> PidOf(const Fd& process) {
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(process.get()));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Pid:")) continue;
    pid_t pid = 0;
    std::istringstream(line.substr(4)) >> pid;
    if (pid > 0) return pid;
    return pid < 0 ? Ended() : Status(EIO, "a process is of a namespace that /proc does not show");
  }
  return Status(EIO, "/proc/self/fdinfo says of no process");
}

// Marks may outlive the machine's boot, and machines boot much alike.
uint64_t MarkOfBoot() {
  static const uint64_t mark = [] {
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return std::hash<std::string>()(id) << 32;
  }();
  return mark;
}

Result<uint64_t> StartOf(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return Ended();
  // The second field is a name in brackets, which may hold whatever it likes.
  const std::string all = text.str();
  std::istringstream rest(all.substr(std::min(all.size(), all.rfind(')') + 1)));
  constexpr int kThird = 3, kStart = 22;
  std::string field;
  for (int i = kThird; i <= kStart; ++i) rest >> field;
  uint64_t ticks = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), ticks);
  if (!rest || error != std::errc()) return Status(EIO, path + " lacks the time of its start");
  return ticks ^ MarkOfBoot();
}

}  // namespace

Result<ProcessMark> MarkOf(const Fd& process) {
  const Result<pid_t> pid = PidOf(process);
  if (!pid.ok()) return pid.status();
  const Result<uint64_t> started = StartOf(*pid);
  if (!started.ok()) return started.status();
  // It was still there: what was read is of no other one.
  if (const Result<pid_t> again = PidOf(process); !again.ok()) return again.status();
  return ProcessMark{*pid, *started};
}

Result<Fd> OpenProcess(const ProcessMark& mark) {
  Fd process(static_cast<int>(syscall(SYS_pidfd_open, mark.pid, 0)));
  if (!process.ok()) return Status::Errno("pidfd_open of process " + std::to_string(mark.pid));
  // Behind it: one that got the number in between has started later.
  const Result<uint64_t> started = StartOf(mark.pid);
  if (!started.ok()) return started.status();
  if (*started != mark.started) return Ended();
  return process;
}

}  // namespace usetl::cri
