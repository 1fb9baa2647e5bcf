#include "vmm/pool/reaper.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace usetl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLastPatience{10};

// False: it has not ended.
bool ReapNow(pid_t pid) {
  pid_t reaped;
  do {
    reaped = waitpid(pid, nullptr, WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  return reaped != 0;
}

}  // namespace

Result<std::unique_ptr<Reaper>> Reaper::Create() {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.ok()) return Status::Errno("epoll_create1");
  return std::unique_ptr<Reaper>(new Reaper(std::move(epoll)));
}

Reaper::~Reaper() {
  const auto end = Clock::now() + kLastPatience;
  for (;;) {
    std::erase_if(processes_, [](const auto& item) { return ReapNow(item.first); });
    if (processes_.empty()) return;
    if (Clock::now() >= end) break;
    poll(nullptr, 0, 1);
  }
  std::fprintf(stderr, "usetl-vmmd: %zu killed USFs do not end; are their cgroups frozen?\n",
               processes_.size());
}

bool Reaper::Watch(Watched* watched) const {
  watched->pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, watched->process.pid, 0)));
  if (!watched->pidfd.ok()) return false;
  // Once: one that is still being moved has ended for a while.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.fd = watched->process.pid;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watched->pidfd.get(), &event) == 0) return true;
  watched->pidfd.Reset();
  return false;
}

void Reaper::Take(KilledProcess process) {
  const pid_t pid = process.pid;
  if (pid < 0) return;  // waitpid() would take any child
  if (process.move != nullptr) process.move->cancelled = true;
  Watched watched{std::move(process), {}};
  if (!Watch(&watched)) ++blind_;
  processes_.emplace(pid, std::move(watched));
}

void Reaper::Reap() {
  epoll_event events[64];
  for (int count; (count = epoll_wait(epoll_.get(), events, std::size(events), 0)) > 0;) {
    for (int i = 0; i < count; ++i) {
      const auto it = processes_.find(events[i].data.fd);
      if (it != processes_.end()) it->second.ended = true;
    }
  }
  std::erase_if(processes_, [this](const auto& item) {
    const Watched& watched = item.second;
    const bool moves = watched.process.move != nullptr && !watched.process.move->over;
    const bool sees = watched.pidfd.ok();
    if (moves || (sees && !watched.ended) || !ReapNow(item.first)) return false;
    if (!sees) --blind_;
    return true;
  });
}

uint64_t Reaper::RegionBytes() const {
  uint64_t bytes = 0;
  for (const auto& [pid, watched] : processes_) bytes += watched.process.region_bytes;
  return bytes;
}

bool Reaper::HasIn(const CgroupFiles& cgroups) const {
  return cgroups != nullptr && std::ranges::any_of(processes_, [&](const auto& item) {
           return item.second.process.cgroups == cgroups;
         });
}

}  // namespace usetl
