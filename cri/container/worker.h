// worker.h: usetld's end of the connection to the worker that runs a container
// (vmm/proxy/pod/protocol.h).
#ifndef USETL_CRI_CONTAINER_WORKER_H_
#define USETL_CRI_CONTAINER_WORKER_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cri/container/identity.h"
#include "cri/container/process_mark.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::cri {

// How a container ended, as its worker says or as its exit file has it.
struct ContainerExit {
  pod::ExitRecord record{};
  std::string text;
};

// What a worker is started with. Descriptors are the caller's.
struct WorkerStart {
  std::string pods_socket;     // of usetl-proxy
  std::string control_socket;  // a path to listen at, for usetld after a restart
  std::string exit_file;
  int network_namespace = -1;
  std::vector<int> cgroups;  // PodCgroup::OpenProcesses
  uint32_t usf_cgroups = 0;  // bit i: for USFs too
  int log = -1;              // -1: no log
  std::vector<int> packs;    // layers of the image, lowest first
  int contents = -1;         // files beside the image; -1: none
  // What the container may change, as Contents has it, and whom that is done as.
  std::vector<int> mounted_directories, writable_files;
  Identity identity;
  int oom_score = 0;
  std::string text;  // JSON, see the protocol
  std::chrono::milliseconds limit{60'000};
};

class Worker {
 public:
  // Who hears of a start while it is under way.
  struct Launching {
    // Which process it is, as soon as there is one; an error ends the start.
    std::function<Status(const ProcessMark&)> taken;
    // Asked now and then and at the end: true ends the start with ECANCELED.
    std::function<bool()> cancelled;
    // The start is about to fail because the function reached its memory limit.
    std::function<void()> out_of_memory;
  };
  // Starts the container and waits until its function is ready. The Status is the cause that users
  // see; then no worker is left.
  static Result<Worker> Launch(const WorkerStart& start, const Launching& launching);
  // To a worker that an earlier usetld started, as process() was then. ESRCH: it has ended. After
  // other errors it has been killed, if it was there at all. Without `mark.started` it can be
  // stopped but not killed: what process it is was not written down.
  static Result<Worker> Reconnect(const std::string& control_socket, const ProcessMark& mark);

  // Ends what was started; returns when the worker has given everything back, or was killed because
  // it hangs.
  void TakeBack();

  // Tells a worker that an earlier usetld started and never told of to end; none is fine. Of one
  // that hangs see orphans.h.
  static void StopOrphan(const std::string& control_socket);

  // As it says.
  const pod::StartedRecord& started() const { return started_; }
  // As the kernel says.
  const ProcessMark& process() const { return mark_; }
  int fd() const { return socket_.get(); }

  // Neither waits for the worker.
  Status Stop(std::chrono::milliseconds grace);
  Status ReopenLog(int log);
  // What it counts goes to this page from here on (vmm/proxy/pod/counts.h).
  Status Count(int page);
  // Runs a program in a clone, or with no arguments ("[]") joins the function's output. `fds` as
  // pod::ExecFd has them; what comes of it is said over the session.
  Status Exec(pod::ExecRecord record, const std::string& arguments, const std::vector<Fd>& fds);
  // Both as pod::UpdateMountRecord has them; `contents` may be none.
  Status UpdateMount(const std::string& json, const Fd& contents);
  // Ends the process, and with it the function.
  void Kill();
  // When fd() is readable: the exit, if it is one; ECONNRESET when the worker is gone.
  Result<std::optional<ContainerExit>> Receive();

 private:
  Status AwaitStarted(std::chrono::milliseconds limit, const Launching& launching);
  enum class Answer { kTaken, kStarted };
  // The next message. Errors are what the worker failed for, or what is wrong with it.
  Result<Answer> ReceiveAnswer();
  Result<Answer> Take(ipc::Message message);

  Fd socket_;
  Fd process_;  // pidfd; none before the worker has taken the connection
  ProcessMark mark_;
  pod::StartedRecord started_{};
  bool out_of_memory_ = false;  // what it failed for
};

// What the worker wrote before it ended; none when it was killed before.
std::optional<ContainerExit> ReadExitFile(const std::string& path);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_WORKER_H_
