#include "cri/container/orphans.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cri/container/worker.h"

namespace usetl::cri {
namespace {

using Clock = std::chrono::steady_clock;

bool EndsUntil(const Fd& process, Clock::time_point end) {
  pollfd state{process.get(), POLLIN, 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
  return poll(&state, 1, static_cast<int>(std::max<int64_t>(left.count(), 0))) == 1;
}

}  // namespace

void Orphans::Add(const std::string& control_socket, const ProcessMark& mark) {
  // Before it is told: afterwards its number may be somebody else's.
  Result<Fd> process = Status(ESRCH, "nobody has taken the start");
  if (mark.started != 0) process = OpenProcess(mark);
  Worker::StopOrphan(control_socket);
  if (process.ok()) {
    orphans_.push_back({mark.pid, std::move(*process)});
  } else if (process.status().code() != ESRCH) {
    spdlog::warn("a worker of an earlier usetld: {}", process.status().message());
  }
}

void Orphans::End(std::chrono::milliseconds patience) {
  const auto wait = [&] {
    const auto end = Clock::now() + patience;
    std::erase_if(orphans_, [&](const Orphan& orphan) { return EndsUntil(orphan.process, end); });
  };
  wait();
  for (const Orphan& orphan : orphans_) {
    spdlog::warn("the worker {} of an earlier usetld hangs: it is killed", orphan.pid);
    syscall(SYS_pidfd_send_signal, orphan.process.get(), SIGKILL, nullptr, 0);
  }
  wait();
  for (const Orphan& orphan : orphans_) {
    spdlog::error("the worker {} was killed and does not end: the disk that it waits for hangs",
                  orphan.pid);
  }
  orphans_.clear();
}

}  // namespace usetl::cri
