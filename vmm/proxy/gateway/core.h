// core.h: what the connections of a server share: requests under way, memory, deadlines.
#ifndef USETL_VMM_PROXY_GATEWAY_CORE_H_
#define USETL_VMM_PROXY_GATEWAY_CORE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/gateway/counters.h"
#include "vmm/proxy/gateway/server.h"

namespace usetl::gateway {

class Connection;

inline constexpr uint64_t kNever = ~uint64_t{0};

// CLOCK_MONOTONIC, nanoseconds.
uint64_t NowNs();

inline uint64_t Nanoseconds(std::chrono::milliseconds time) {
  return static_cast<uint64_t>(std::chrono::nanoseconds(time).count());
}
// How long so many bytes may take at `rate` bytes a second, in nanoseconds.
inline uint64_t TimeFor(uint64_t bytes, uint64_t rate) { return bytes * 1'000'000'000 / rate; }

// A request that the backend has.
struct Ticket {
  Connection* connection = nullptr;  // null: free
  uint32_t stream = 0;
  uint32_t generation = 0;
  uint64_t begun = 0;
  uint64_t charged = 0;  // bytes of its body
  int status = 0;        // 0: not answered yet
  bool waits = false;    // OnRoom() is owed
  uint64_t held = 0;     // of `charged`: bytes of a streamed body that the backend has not used
};

class Core {
 public:
  static Result<std::unique_ptr<Core>> Create(const Options& options, Backend* backend);
  ~Core();

  Status Listen(std::vector<Fd> sockets);
  void StopListening();
  Status Adopt(Fd socket, Endpoint client, Endpoint server);
  void OnReady();
  void Drain(uint64_t until);
  bool closed() const { return !listening_ && connections_.empty(); }
  int poll_fd() const { return epoll_.get(); }

  // For connections and their protocols.
  const Options& options() const { return options_; }
  Counters& counters() { return counters_; }
  bool draining() const { return drain_until_ != kNever; }

  // A number for a request, and then its way to the backend, which may answer at once. `charged`:
  // what Charge() took for its body.
  uint64_t Open(Connection* connection, uint32_t stream, uint64_t charged);
  void Submit(uint64_t id, Request request);
  // Streamed bodies. False: all connections together would hold too much.
  bool Body(uint64_t id, std::string_view bytes);
  void BodyEnd(uint64_t id);
  void BodyTaken(uint64_t id, uint64_t bytes);
  // The backend has enough of the body for now.
  bool BodyWaits(uint64_t id);
  Ticket* Find(uint64_t id);
  // The answer is complete or broken off (status 0).
  void Finish(uint64_t id, int status);
  // The client left: tells the backend.
  void Cancel(uint64_t id);
  // There is room again for an answer: tells the backend, if it waits.
  void Room(uint64_t id);

  // Memory: false when all connections together would hold too much.
  bool Charge(uint64_t bytes);
  void Release(uint64_t bytes) { counters_.buffered -= bytes; }

  // OnReady() will call the connection's Resume(), although its socket has nothing new.
  void Defer(Connection* connection);
  // A deadline that is earlier than those before it.
  void NoteDeadline(uint64_t at);

  std::string NewRequestId();
  std::string_view Date();
  // For one read at a time, of any connection.
  std::span<char> read_buffer() { return {read_buffer_.get(), kReadBuffer}; }

 private:
  static constexpr size_t kReadBuffer = 64 << 10;

  Core(const Options& options, Backend* backend, Fd epoll, Fd timer, Fd wake, uint64_t seed);
  void Accept(int listener);
  void PauseListening();
  void OnTimer();
  void RunDeferred();
  Status Watch(int fd, uint32_t events, void* data);

  const Options options_;
  Backend* const backend_;
  Fd epoll_, timer_, wake_;
  std::vector<Fd> listeners_;  // closed ones stay: events of theirs may be on their way
  bool listening_ = false;
  bool listening_paused_ = false;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> deferred_;
  bool woken_ = false;
  bool in_ready_ = false;
  std::vector<Ticket> tickets_;
  std::vector<uint32_t> free_tickets_;
  uint64_t armed_ = kNever;
  uint64_t drain_until_ = kNever;
  uint64_t id_state_;
  int64_t date_second_ = 0;
  char date_[40] = {};
  // Not cleared: an idle server should hold no pages of it.
  std::unique_ptr<char[]> read_buffer_ = std::make_unique_for_overwrite<char[]>(kReadBuffer);
  Counters counters_;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_CORE_H_
