// invoker.h: HTTP requests for one USF, which serves one at a time.
//
// The gateway takes requests apart and writes answers; in between they are here: queued, given to
// the function as kInvoke records, their answers put together and checked. A few are given ahead:
// the function goes from one to the next without waiting for this process, and while its memory is
// in the caches. Single-threaded, never blocks. Whoever owns the USF's rings calls in with its
// records.
#ifndef USETL_VMM_PROXY_POD_INVOKER_H_
#define USETL_VMM_PROXY_POD_INVOKER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmm/abi/mail.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/reply.h"
#include "vmm/proxy/region/guest_region_view.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::pod {

using HttpCall = gateway::Request;
using gateway::AnswerHead;

// Takes the answer to one request. OnHead and OnData may not come at all, OnEnd comes last and
// once; the object goes after it. None may call back into the invoker.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // `size`: of the body, when it is known.
  virtual void OnHead(const AnswerHead& head, std::optional<uint64_t> size) = 0;
  virtual void OnData(std::string_view bytes) = 0;
  // The function has used so much of the request's body, which came in pieces.
  virtual void OnBodyTaken(uint64_t bytes) = 0;
  // An error: the answer is not complete, and what was begun cannot be ended well.
  virtual void OnEnd(const Status& status) = 0;
};

class Invoker {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    uint32_t queue = 100;  // requests that wait
    // Of one, from when the function has it; 0: none. With a timeout nothing is given ahead.
    std::chrono::milliseconds timeout{0};
    uint64_t max_body = 32 << 20;  // of an answer that is not streamed
    // Requests are given ahead while the last answer took less than this, and no file. What a slow
    // function could gain is nothing beside what it would do for clients that have left.
    std::chrono::microseconds quick{5000};
  };
  // The USF. `region` and `guest` outlive the invoker. Post: false when the ring is full; Turn()
  // tries again.
  struct Usf {
    HostRegion* region;
    const GuestRegionView* guest;
    std::function<bool(abi::RecordType type, uint64_t id, std::string_view payload)> post;
    std::function<void(std::string_view report)> log;  // what the function did wrong
    // Of a MemoryError: what the function's limit had to do with it. Empty: nothing.
    std::function<std::string()> memory = [] { return std::string(); };
  };

  Invoker(Options options, Usf usf) : options_(options), usf_(std::move(usf)) {}
  ~Invoker();

  // 503 when the queue is full or the function ends. Returns a number for Cancel().
  uint64_t Invoke(HttpCall call, std::unique_ptr<AnswerSink> sink);
  // More of the body of a call with `body_follows`, and its end. Whoever calls lets no more come
  // than he wants to be held here: OnBodyTaken() tells what is not.
  void Body(uint64_t number, std::string_view bytes);
  void BodyEnd(uint64_t number);
  // The client is gone: its sink is dropped without a further call. A request that the function
  // has goes on until it is answered.
  void Cancel(uint64_t number);

  // Gives the function what it may have. Call after anything has happened.
  void Turn();
  // kResult, kAnswerHead, kAnswerData or kBodyTaken. What is wrong with an answer is the function's
  // error; an error of this: the guest broke the protocol.
  Status OnRecord(abi::RecordType type, uint64_t id, std::span<const uint8_t> payload);

  // When the function has taken too long with what it has; it cannot go on then.
  std::optional<Clock::time_point> deadline() const { return deadline_; }
  // Nothing runs and nothing waits.
  bool idle() const { return given_.empty() && waiting_.empty(); }
  // Nothing is given to the function from here on: it is lost.
  void GiveNothing() { lost_ = true; }
  // No further requests: 503 for what comes; what is here goes on.
  void Close() { closed_ = true; }
  // The USF is gone: everything is answered with an error, 503 for what the function has not begun
  // and 502 otherwise. `drained`: it has ended, and each of its records was taken; so it has not
  // begun what it was given behind the first.
  void Abandon(const Status& why, bool drained);

 private:
  struct Request {
    uint64_t number;
    HttpCall call;
    std::unique_ptr<AnswerSink> sink;  // null: cancelled
    // Of a body in pieces.
    bool streams = false;
    std::string body;  // what the function has not been sent
    enum class End { kNone, kComplete, kBroken } end = End::kNone;
    // Its body is more than the record: nothing is given to the function beside it.
    bool alone() const;
  };

  // Whether the next of those that wait may be given now.
  bool MayGive() const;
  // The record of a request; a body that does not fit it goes to the region.
  Result<std::string> Encode(const HttpCall& call);
  // From the first of those that wait to `record_`, or refused.
  void EncodeNext();
  void ReleaseBody();
  Request* Find(uint64_t number);
  // Sends what the window and the ring have room for.
  void SendBody();
  Status OnBodyTaken(std::span<const uint8_t> payload);
  void OnResult(std::string_view text);
  void OnHead(std::string_view text);
  // What the function has answered cannot be sent on.
  void Fail(std::string_view report);
  Status TakeBody(const std::string& path, std::string* body) const;
  void Finish(const Status& status);
  // Of a request whose function is lost.
  void Lose(Request* request, const Status& why);
  static void Refuse(AnswerSink* sink, int status, std::string_view text);

  Options options_;
  Usf usf_;
  std::deque<Request> waiting_;
  std::deque<Request> given_;  // answered in this order; the first is being served
  std::string record_;         // of the last in `given_`, until it is posted
  // Of the first in `given_`:
  std::optional<uint32_t> body_;  // entry of its body in the region
  uint32_t body_sent_ = 0;        // bytes of a body in pieces that the function has not used
  bool body_ended_ = false;       // it knows of the end
  bool head_sent_ = false;
  Clock::time_point begun_;  // not before this
  bool quick_ = false;       // the last answer came soon
  bool large_ = false;       // its answer is in a file
  bool lost_ = false;
  bool closed_ = false;
  std::optional<Clock::time_point> deadline_;
  uint64_t last_number_ = 1000;  // above those of load and script
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_INVOKER_H_
