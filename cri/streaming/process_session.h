// process_session.h: exec and attach: a client's streams joined to a program's.
#ifndef USETL_CRI_STREAMING_PROCESS_SESSION_H_
#define USETL_CRI_STREAMING_PROCESS_SESSION_H_

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cri/streaming/inlet.h"
#include "cri/streaming/process.h"
#include "cri/streaming/session.h"
#include "cri/streaming/websocket_mux.h"

namespace usetl::cri::streaming {

using Launch = std::function<Result<std::unique_ptr<Process>>(const ProcessRequest&)>;

// The program starts when all streams are there. It is destroyed with this: when it has ended, when
// the client is gone, when it breaks the rules.
class ProcessSession final : public Session {
 public:
  ProcessSession(std::unique_ptr<Mux> mux, int stop, const Timers& timers, ProcessRequest request,
                 Launch launch);

 private:
  enum Kind { kIn, kOut, kErr, kError, kResize, kKinds };  // WebSocket's channels
  struct Size {
    uint16_t columns = 0, rows = 0;
  };

  Status OnOpen(uint32_t stream, const Headers& headers) override;
  Status OnData(uint32_t stream, std::string_view data) override;
  Status OnEnd(uint32_t stream) override;
  void OnReset(uint32_t stream) override;
  Status Advance() override;
  void Watch(Poller* poller, bool room) override;
  bool finished() const override { return finished_; }
  bool congested() const override { return input_.size() >= kMaxPending; }
  void Release() override { process_.reset(); }
  std::optional<Clock::time_point> incomplete_since() const override;

  Kind KindOf(uint32_t stream) const;  // kKinds: none
  Status Start();
  Status OnResize(std::string_view data);
  void CloseInput();
  Status PumpOutput(Kind kind);
  Fd& OutputOf(Kind kind) { return kind == kOut ? process_->out : process_->err; }

  const ProcessRequest request_;
  const Launch launch_;
  const Clock::time_point created_ = Clock::now();
  std::array<bool, kKinds> wanted_{};
  std::array<std::optional<uint32_t>, kKinds> streams_;
  std::unique_ptr<Process> process_;
  Inlet input_;
  std::string resize_;  // the start of an object
  std::optional<Size> size_;
  bool exited_ = false, finished_ = false;
  std::string report_;  // how it ended, until the client has room for it
};

// For ChannelMux. Its numbers are Kind's.
std::vector<Channel> ChannelsFor(const ProcessRequest& request);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_PROCESS_SESSION_H_
