// container.h: one container from its start to its end: the body of a worker process of pods.
//
// Single-threaded but for the log. The function, its files and whatever the network sends are
// hostile; usetld is trusted with what it asks, not with its manners: nothing here waits for it.
#ifndef USETL_VMM_PROXY_POD_CONTAINER_H_
#define USETL_VMM_PROXY_POD_CONTAINER_H_

#include <poll.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/proxy/etl/etl_proxy.h"
#include "vmm/proxy/pod/attachment.h"
#include "vmm/proxy/pod/control.h"
#include "vmm/proxy/pod/counts.h"
#include "vmm/proxy/pod/exec.h"
#include "vmm/proxy/pod/front.h"
#include "vmm/proxy/pod/invoker.h"
#include "vmm/proxy/pod/join.h"
#include "vmm/proxy/pod/log.h"
#include "vmm/proxy/pod/mounts.h"
#include "vmm/proxy/pod/outcome.h"
#include "vmm/proxy/pod/ports.h"
#include "vmm/proxy/pod/start_request.h"
#include "vmm/proxy/worker/output_frames.h"
#include "vmm/proxy/worker/usf_link.h"

namespace usetl::pod {

class Container {
 public:
  // `usetld` has sent `join`, whose network this process is in already. `vmmd` is a connection to
  // usetl-vmmd. `mount_service`: of the join's directories, if there are any.
  Container(Fd usetld, Join join, MountService mount_service, Fd vmmd, etl::ObjectStore objects);

  // Until the container has ended and its end is written and told. `start`: usetld's second
  // message, or why there is none.
  void Run(Result<ipc::Message> start);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kOutputPiece = 32 << 10;
  static constexpr char kMemoryRemedy[] = "resources.limits.memory";

  // container_start.cc: from the request to the record that loads the function.
  Status Start(ipc::Message message);
  Status Claim(StartRequest* request);
  Status OnLoaded(const Reply& reply);
  void KeepForExec(const StartRequest& request);
  Status PostScript();
  Status OpenFront(bool streams);
  void SettleDown();

  Status Loop();
  // Polls for a moment where an answer is about to come. True: the guest has said something.
  bool AwaitAnswer();
  // For whatever comes first, `most_ms` at most; -1: as long as it takes.
  Status Wait(int most_ms);
  Status DrainGuest(bool* progress);
  // Of a guest that has ended, or whose usetl-vmmd has.
  Status TakeLastRecords();
  Status DrainOutput();
  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);
  Status OnVmmd();
  Status EnsureEtl();
  bool FrontCongested() const { return front_ != nullptr && front_->Congested(); }
  bool EtlCongested() const { return etl_ != nullptr && etl_->congested(); }

  // container_exec.cc: programs in clones of the USF.
  void OnExec(const ExecRecord& record, std::string_view arguments, std::vector<Fd> fds);
  void RequestClone();
  void OnCloned(ipc::Message message);
  void TurnExecs();
  void Attach(const ExecRecord& record, std::vector<Fd> fds);
  // Of the function, to the log and to whoever is attached.
  void ShowOutput(uint32_t stream, std::string_view bytes);

  void OnUpdateMount(const UpdateMountRecord& record, std::vector<Fd> fds);
  void AnswerMounts();
  void OnStop(uint32_t grace_ms);
  // Sends kStop once the requests that the function has are answered.
  void PostStop();
  void CheckDeadlines();
  std::optional<Clock::time_point> NextDeadline() const;

  // Into the log, as standard error.
  void Say(std::string_view text);
  void End(Outcome outcome);
  void TakeLastOutput();
  void TellEnd();
  void GiveBackUsf();
  Counts Counted() const;  // container_counts.cc
  // For whoever reads metrics, when there is time.
  void PublishCounts() {
    if (counts_page_.wanted()) counts_page_.Publish(Counted());
  }
  // Of the USF's process, as far as it can be seen.
  uint64_t UsfCpuNs() const;

  Fd vmmd_;  // until the claim
  etl::ObjectStore objects_;
  std::vector<Fd> cgroups_;      // until it has started
  std::vector<Fd> usf_cgroups_;  // until the claim
  const bool usf_charged_;       // to such
  const int oom_score_;          // of the USF
  MountService mount_service_;   // until the claim
  uint32_t mounted_directories_;
  Control control_;
  std::string id_, mode_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<UsfLink> link_;
  std::vector<Fd> packs_;         // of the image, for clones
  std::optional<Mounts> mounts_;  // from the claim until the USF is given back
  MountAsker mount_asker_{/*clone=*/false};
  Ports ports_;
  etl::Policy policy_;
  etl::NameConfig names_;
  std::unique_ptr<etl::EtlProxy> etl_;  // made for the first HTTP request of the function
  Invoker::Options invoker_options_;
  std::unique_ptr<Invoker> invoker_;  // none for scripts
  std::unique_ptr<Front> front_;      // the same; goes before the invoker
  CountsPage counts_page_;
  OutputFrames output_;
  // Not on the stack, whose pages below it would stay; not cleared, for the same reason.
  std::unique_ptr<char[]> output_piece_ = std::make_unique_for_overwrite<char[]>(kOutputPiece);
  std::vector<std::string> exec_environment_;  // NAME=VALUE
  std::string exec_directory_;
  std::vector<std::unique_ptr<Exec>> execs_;
  std::vector<Attachment> attachments_;
  std::vector<Exec*> awaiting_clones_;  // in order; the first one's is asked for. Null: it has left
  bool loaded_ = false, script_ = false;
  bool awaits_answer_ = false;
  bool answered_soon_ = true;  // the last time that one was waited for
  std::optional<Clock::time_point> start_deadline_, stop_deadline_;
  bool stopping_ = false, stop_posted_ = false;
  uint32_t grace_ms_ = 0;
  uint64_t usf_cpu_before_ = 0;
  bool draining_ = false;  // the guest has ended, or is about to
  bool drained_ = false;   // it has ended, and there is nothing in its ring
  std::optional<Outcome> outcome_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_CONTAINER_H_
