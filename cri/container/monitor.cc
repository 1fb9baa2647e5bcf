#include "cri/container/monitor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace usetl::cri {

Result<std::unique_ptr<Monitor>> Monitor::Create(OnExit on_exit) {
  std::unique_ptr<Monitor> monitor(new Monitor(std::move(on_exit)));
  monitor->epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  monitor->wake_ = Fd(eventfd(0, EFD_CLOEXEC));
  if (!monitor->epoll_.ok() || !monitor->wake_.ok()) return Status::Errno("watching workers");
  epoll_event event{.events = EPOLLIN, .data = {.fd = monitor->wake_.get()}};
  if (epoll_ctl(monitor->epoll_.get(), EPOLL_CTL_ADD, monitor->wake_.get(), &event) != 0) {
    return Status::Errno("epoll_ctl");
  }
  monitor->thread_ = std::thread([raw = monitor.get()] { raw->Run(); });
  return monitor;
}

Monitor::~Monitor() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);  // cannot be full
  thread_.join();
}

Status Monitor::Watch(const std::string& container, Worker worker) {
  const std::lock_guard lock(mutex_);
  const int fd = worker.fd();
  by_fd_[fd] = container;
  workers_.insert_or_assign(container, std::move(worker));
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return Status();
  const Status status = Status::Errno("watching a worker");
  by_fd_.erase(fd);
  workers_.erase(container);
  return status;
}

Status Monitor::Stop(const std::string& container, std::chrono::milliseconds grace) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(container);
  if (found == workers_.end()) return Status(ENOENT, "the container does not run");
  return found->second.Stop(grace);
}

void Monitor::Kill(const std::string& container) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(container);
  if (found != workers_.end()) found->second.Kill();
}

Status Monitor::ReopenLog(const std::string& container, int log) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(container);
  if (found == workers_.end()) return Status(ENOENT, "the container does not run");
  return found->second.ReopenLog(log);
}

Status Monitor::Exec(const std::string& container, pod::ExecRecord record,
                     const std::string& arguments, const std::vector<Fd>& fds) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(container);
  if (found == workers_.end()) return Status(ENOENT, "the container does not run");
  return found->second.Exec(record, arguments, fds);
}

Status Monitor::UpdateMount(const std::string& container, const std::string& json,
                            const Fd& contents) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(container);
  if (found == workers_.end()) return Status(ENOENT, "the container does not run");
  return found->second.UpdateMount(json, contents);
}

bool Monitor::WaitForExit(const std::string& container, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, limit, [&] { return !workers_.contains(container); });
}

void Monitor::Run() {
  for (;;) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == wake_.get()) return;
      OnReadable(events[i].data.fd);
    }
  }
}

void Monitor::OnReadable(int fd) {
  std::string container;
  std::optional<ContainerExit> exit;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_fd_.find(fd);
    if (found == by_fd_.end()) return;
    container = found->second;
    Result<std::optional<ContainerExit>> received = workers_.at(container).Receive();
    if (received.ok() && !received->has_value()) return;  // of no interest
    if (received.ok()) exit = std::move(*received);
    // It says so last. One that a function has taken over may say it and stay.
    workers_.at(container).Kill();
  }
  on_exit_(container, std::move(exit));
  {
    const std::lock_guard lock(mutex_);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    by_fd_.erase(fd);
    workers_.erase(container);
  }
  ended_.notify_all();
}

}  // namespace usetl::cri
