// forward_session.h: port-forward: each pair of a client's streams is one connection to a port of
// the pod.
#ifndef USETL_CRI_STREAMING_FORWARD_SESSION_H_
#define USETL_CRI_STREAMING_FORWARD_SESSION_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cri/streaming/inlet.h"
#include "cri/streaming/session.h"
#include "cri/streaming/websocket_mux.h"

namespace usetl::cri::streaming {

// A TCP socket of `family` in the pod's network, not connected.
using OpenSocket = std::function<Result<Fd>(int family)>;

class ForwardSession final : public Session {
 public:
  // With `once` it is over when all of its connections are; else the client decides.
  ForwardSession(std::unique_ptr<Mux> mux, int stop, const Timers& timers, OpenSocket open_socket,
                 bool once)
      : Session(std::move(mux), stop, timers), open_socket_(std::move(open_socket)), once_(once) {}

 private:
  // The streams of one connection.
  struct Pair {
    std::optional<uint32_t> data, error;
    uint16_t port = 0;
    Clock::time_point created = Clock::now();
    Fd socket;
    size_t tried = 0;  // addresses
    bool connected = false;
    bool input_shut = false;  // the pod was told the client's end
    bool output_ended = false;
    std::string failure;  // of the first address
    Inlet input;
  };
  using Pairs = std::map<std::string, Pair>;  // by request

  Status OnOpen(uint32_t stream, const Headers& headers) override;
  Status OnData(uint32_t stream, std::string_view data) override;
  Status OnEnd(uint32_t stream) override;
  void OnReset(uint32_t stream) override;
  Status Advance() override;
  void Watch(Poller* poller, bool room) override;
  bool finished() const override { return once_ && pairs_.empty(); }
  bool congested() const override;
  void Release() override { pairs_.clear(); }
  std::optional<Clock::time_point> incomplete_since() const override;

  Pairs::iterator Find(uint32_t stream);
  Pairs::iterator FindData(uint32_t stream);  // when it is its pair's data stream
  void Connect(Pairs::iterator pair);
  void OnConnected(uint32_t data);
  void PumpInput(uint32_t data);
  void PumpOutput(uint32_t data);
  // Ends both streams, with a text for the client if there is one.
  void Finish(Pairs::iterator pair, std::string_view failure);
  void FinishIfOver(Pairs::iterator pair);

  const OpenSocket open_socket_;
  const bool once_;
  Pairs pairs_;
  std::map<uint32_t, std::string> requests_;  // by stream
};

// For ChannelMux: a channel for data and one for errors for each port.
std::vector<Channel> ChannelsFor(const std::vector<uint16_t>& ports);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_FORWARD_SESSION_H_
