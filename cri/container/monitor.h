// monitor.h: watches the workers of all running containers; one thread.
#ifndef USETL_CRI_CONTAINER_MONITOR_H_
#define USETL_CRI_CONTAINER_MONITOR_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "cri/container/worker.h"

namespace usetl::cri {

// Thread-safe.
class Monitor {
 public:
  // Called on the monitor's thread for every container that ended; none when its worker left no
  // word. Waiters go on when it has returned.
  using OnExit =
      std::function<void(const std::string& container, std::optional<ContainerExit> exit)>;

  static Result<std::unique_ptr<Monitor>> Create(OnExit on_exit);
  ~Monitor();

  Status Watch(const std::string& container, Worker worker);
  // ENOENT: it is not running.
  Status Stop(const std::string& container, std::chrono::milliseconds grace);
  // Ends the worker's process, and with it the USF's function. For one that does not answer.
  void Kill(const std::string& container);
  Status ReopenLog(const std::string& container, int log);
  // As Worker::Exec. ENOENT: it is not running.
  Status Exec(const std::string& container, pod::ExecRecord record, const std::string& arguments,
              const std::vector<Fd>& fds);
  // As Worker::UpdateMount. ENOENT: it is not running.
  Status UpdateMount(const std::string& container, const std::string& json, const Fd& contents);
  // False when the time is over and it still runs.
  bool WaitForExit(const std::string& container, std::chrono::milliseconds limit);

 private:
  explicit Monitor(OnExit on_exit) : on_exit_(std::move(on_exit)) {}
  void Run();
  void OnReadable(int fd);

  const OnExit on_exit_;
  Fd epoll_, wake_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::map<std::string, Worker> workers_;
  std::map<int, std::string> by_fd_;
  std::thread thread_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_MONITOR_H_
