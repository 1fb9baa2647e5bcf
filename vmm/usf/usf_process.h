// usf_process.h: the life of a usf process: set up, jail, then run, idle and roll back on command.
#ifndef USETL_VMM_USF_USF_PROCESS_H_
#define USETL_VMM_USF_USF_PROCESS_H_

#include <memory>

#include "vmm/ipc/socket.h"
#include "vmm/snapshot/rollback.h"
#include "vmm/usf/command.h"

namespace usetl {

class UsfProcess {
 public:
  // `socket` leads to vmmd; not owned.
  explicit UsfProcess(int socket) : socket_(socket) {}

  // Returns the process's exit status.
  int Run();

 private:
  Status Start();
  // Serves until vmmd leaves (OK) or something breaks.
  Status Serve();
  Status RunGuest();
  Status WaitWhileIdle();
  Status ServeCommand();
  Status RollBack();
  // Keeps what a kCopyOut came with until the guest stands where it can be copied.
  Status TakeCopyOut(uint32_t order, std::vector<Fd> fds);
  Status CopyOut();
  // Into the cgroups whose files these are. What fails is told, and this process goes on.
  Status Move(uint32_t order, const std::vector<Fd>& files);
  Status Become(std::vector<Fd> fds);
  Status MapPacks(const ipc::Message& message);
  void Tick();
  Status SendMissing();
  void SendTrace(std::string_view line);
  Status SendEvent(usf::EventRecord record, std::string_view text = {});

  int socket_;
  usf::StartCommand start_{};
  int guest_event_fd_ = -1;
  std::unique_ptr<Snapshot> snapshot_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<Rollback> rollback_;
  bool ended_ = false;    // the function is over: only a rollback is possible
  bool crashed_ = false;  // not even that
  bool idle_ = false;
  bool clone_ = false;        // became one: no rollback is possible
  std::vector<Fd> copy_out_;  // of a kCopyOut that waits; else empty
  uint32_t copy_order_ = 0;
  uint32_t trace_lines_ = 0;      // of this run
  uint64_t deadline_ = ~0ull;     // of the idle guest, by its monotonic clock
  uint64_t clock_refreshed_ = 0;  // while it runs: when, by the host's
};

}  // namespace usetl

#endif  // USETL_VMM_USF_USF_PROCESS_H_
