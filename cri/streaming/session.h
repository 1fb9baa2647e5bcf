// session.h: one client's connection after its upgrade, from its streams to its end.
#ifndef USETL_CRI_STREAMING_SESSION_H_
#define USETL_CRI_STREAMING_SESSION_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "cri/streaming/mux.h"
#include "cri/streaming/poller.h"
#include "vmm/base/fd.h"

namespace usetl::cri::streaming {

struct Timers {
  std::chrono::milliseconds request = std::chrono::seconds(10);   // for a request's head
  std::chrono::milliseconds creation = std::chrono::seconds(30);  // of the streams
  std::chrono::milliseconds idle = std::chrono::hours(4);
  std::chrono::milliseconds linger = std::chrono::seconds(5);  // for a client to read the end
};

// Runs on the caller's thread; what it joins lives no longer than Run.
class Session : protected StreamSink {
 public:
  // `stop` becomes readable when all sessions must end.
  Session(std::unique_ptr<Mux> mux, int stop, const Timers& timers)
      : mux_(std::move(mux)), stop_(stop), timers_(timers) {}

  // `socket` is nonblocking; `hello` is sent first, `early` was read from it already. Returns when
  // all is said or the client is gone; an error is for the log.
  Status Run(Fd socket, std::string hello, std::string_view early);

 protected:
  using Clock = std::chrono::steady_clock;

  Mux& mux() { return *mux_; }
  // Does what needs no waiting. Called whenever something happened.
  virtual Status Advance() = 0;
  // Asks for what it waits for; for output only when there is `room` for it.
  virtual void Watch(Poller* poller, bool room) = 0;
  // Nothing more will be sent.
  virtual bool finished() const = 0;
  // The client has to wait, too much of what it sent is still here.
  virtual bool congested() const = 0;
  // Lets go of what the streams were joined to: nobody listens any more.
  virtual void Release() = 0;
  // Since when streams are missing.
  virtual std::optional<Clock::time_point> incomplete_since() const = 0;

 private:
  Status ReadClient();
  void WriteClient();

  std::unique_ptr<Mux> mux_;
  const int stop_;
  const Timers timers_;
  Fd socket_;
  std::string output_;
  bool gone_ = false;
};

// Sends what is left of `output`, ends the connection and waits until the client has read it:
// closing at once would reset the connection and lose the rest. Ends early when `stop` is readable.
void CloseGently(const Fd& socket, std::string output, int stop, std::chrono::milliseconds limit);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_SESSION_H_
