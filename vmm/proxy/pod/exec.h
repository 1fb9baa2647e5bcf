// exec.h: a program in a clone of the container's USF, joined to usetld's streams.
//
// Nothing here waits: not for the program, not for who reads its output. The clone sees the files
// of the container as they were when it was made, those of mounted directories as they are; what it
// writes is gone with it. It reaches no network.
#ifndef USETL_VMM_PROXY_POD_EXEC_H_
#define USETL_VMM_PROXY_POD_EXEC_H_

#include <poll.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "vmm/proxy/pod/mounts.h"
#include "vmm/proxy/pod/protocol.h"
#include "vmm/proxy/pod/stream_writer.h"
#include "vmm/proxy/worker/output_frames.h"
#include "vmm/proxy/worker/usf_link.h"

namespace usetl::pod {

struct ExecOrder {
  std::vector<std::string> arguments, environment;  // the latter as NAME=VALUE
  std::string directory;                            // may be empty
  bool terminal = false;
  uint16_t columns = 0, rows = 0;
};

// EINVAL: it is no array of strings, or an empty one.
Result<std::vector<std::string>> ParseArguments(std::string_view json);

class Exec {
 public:
  // `fds` as `record` announces them (protocol.h).
  // `mounts`: the container's; must outlive this. Null: there are none yet, it only fails.
  Exec(const ExecRecord& record, std::vector<Fd> fds, ExecOrder order, Mounts* mounts);
  ~Exec() {
    if (mounts_ != nullptr) mounts_->Leave(&asker_);
  }
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  // The clone is there: the program starts.
  void Begin(Result<std::unique_ptr<UsfLink>> link);
  void Fail(const Status& cause);

  // What to poll(2) for.
  void AddTo(std::vector<pollfd>* fds) const;
  // Moves whatever can be moved. REQUIRES: after each poll, whatever it said.
  void Turn();
  // Announces sleep. False: something is there already.
  bool PrepareWait();
  // Nobody is interested any more.
  bool done() const { return done_; }

 private:
  Status WriteBoot(abi::Boot* boot) const;
  void TakeSession();
  void TakeInput();
  void TakeRecords();
  void TakeOutput();
  void TakeEnd();
  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);
  void OnHttpRequest(const abi::RecordHeader& header);
  void Write(uint32_t stream, std::string_view bytes);
  bool Flushed() const { return outputs_[0].flushed() && outputs_[1].flushed(); }
  void TellEnd();
  void Say(std::span<const uint8_t> record, std::string_view text);

  ExecOrder order_;
  Mounts* const mounts_;
  MountAsker asker_{/*clone=*/true};
  Fd session_, in_;
  std::array<StreamWriter, 2> outputs_;  // standard output, standard error
  std::unique_ptr<UsfLink> link_;        // none: the clone is not there yet
  OutputFrames frames_;
  uint32_t window_ = abi::kInputWindow;
  bool input_ended_ = false, ring_full_ = false, resize_ = false, ended_ = false, done_ = false;
  pool::ReplyRecord end_{};  // kEnded
  std::string end_text_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_EXEC_H_
