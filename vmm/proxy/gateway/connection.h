// connection.h: one client's socket; what is spoken over it is a Protocol's matter.
#ifndef USETL_VMM_PROXY_GATEWAY_CONNECTION_H_
#define USETL_VMM_PROXY_GATEWAY_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/proxy/gateway/core.h"
#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

// A body that is announced as larger goes to a backend that streams before it is complete.
inline constexpr uint64_t kMaxGathered = 64 << 10;

// HTTP/1.1 or HTTP/2. What answers a request does not call the backend.
class Protocol {
 public:
  virtual ~Protocol() = default;
  // Uses what it can of `bytes` and returns how much; the rest is shown again, with more behind it.
  virtual size_t OnInput(std::string_view bytes) = 0;
  // It has taken the place of another protocol, whose unused input comes next.
  virtual void OnBecome() {}
  // False: nothing is read until Core::Defer().
  virtual bool WantsInput() const = 0;
  // The client sends nothing more. True: it is gone, and so are its requests.
  virtual bool OnEndOfInput() = 0;
  // All that was to be sent has gone.
  virtual void OnSent() = 0;

  virtual void Answer(uint64_t id, uint32_t stream, AnswerHead head,
                      std::optional<uint64_t> size) = 0;
  // False: no room for more.
  virtual bool AnswerData(uint64_t id, uint32_t stream, std::string_view bytes) = 0;
  virtual void AnswerEnd(uint64_t id, uint32_t stream) = 0;
  virtual void BreakOff(uint64_t id, uint32_t stream) = 0;
  // The backend has used so much of a streamed body. `waited`: it had enough of it before.
  virtual void OnBodyTaken(uint32_t stream, uint64_t bytes, bool waited) = 0;

  virtual std::string RequestIdOf(uint32_t stream) const = 0;

  // Ends with the requests that are under way.
  virtual void Drain() = 0;
  virtual uint64_t Deadline() const = 0;
  virtual void OnDeadline() = 0;
  // The connection is gone.
  virtual void CancelAll() = 0;
};

class Connection {
 public:
  Connection(Core* core, Fd socket, Endpoint client, Endpoint server);
  ~Connection();

  int fd() const { return socket_.get(); }
  Core& core() const { return *core_; }
  const Endpoint& client() const { return client_; }
  const Endpoint& server() const { return server_; }

  // From Core::OnReady().
  void OnEvents(uint32_t events);
  void Resume();
  void CheckDeadline(uint64_t now);
  uint64_t Deadline() const;
  Protocol& protocol() { return *protocol_; }
  bool dead() const { return dead_; }

  // For protocols. Bytes to be sent, up to the next Flush().
  std::string& out() { return out_; }
  size_t unsent() const { return out_.size() - sent_; }
  // Sends out() and then `more`, of which is copied what the socket does not take.
  void Flush(std::string_view more = {});
  // Ends when everything is sent. `linger`: reads on for a while, as the client may still be
  // sending and would lose the answer to a reset.
  void Finish(bool linger);
  bool finishing() const { return finishing_; }
  // Ends now; safe at any time.
  void Break();
  // Ends now, so that the client cannot take what it has for everything.
  void Reset();
  // Another protocol goes on after the present OnInput().
  void Become(std::unique_ptr<Protocol> next) { next_ = std::move(next); }
  bool has_input() const { return readable_ || !pending_.empty(); }

  size_t index = 0;       // in Core's list
  bool deferred = false;  // in Core's list of those

 private:
  void Process();
  bool Read();
  void Feed(std::string_view bytes, bool are_pending);
  void Discard();
  void AfterSend();
  // Accounts for what is held. False: too much, and the connection has ended.
  bool Hold();

  Core* const core_;
  Fd socket_;
  const Endpoint client_, server_;
  std::unique_ptr<Protocol> protocol_, next_;
  std::string pending_;  // read, but not used yet
  std::string out_;
  size_t sent_ = 0;
  uint64_t charged_ = 0;        // for `pending_` and `out_`
  uint64_t last_progress_ = 0;  // of a send
  uint64_t linger_until_ = kNever;
  uint64_t discarded_ = 0;
  bool readable_ = false;
  bool writable_ = true;
  bool end_told_ = false, end_of_input_ = false;
  bool finishing_ = false, linger_ = false;
  bool dead_ = false;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_CONNECTION_H_
