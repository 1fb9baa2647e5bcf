// request_body.h: the body of a request, wherever it lies.
#ifndef USETL_VMM_PROXY_ETL_REQUEST_BODY_H_
#define USETL_VMM_PROXY_ETL_REQUEST_BODY_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "vmm/proxy/etl/outbox.h"
#include "vmm/proxy/etl/request.h"

namespace usetl::etl {

// Streamed spans are answered with kHttpDone as they are used up. Single-threaded.
class RequestBody {
 public:
  // `request`, `guest` and `outbox` outlive it.
  RequestBody(uint64_t id, const Request& request, uint64_t limit, const GuestRegionView* guest,
              Outbox* outbox);

  bool present() const { return kind_ != abi::BodyKind::kNone; }
  bool streamed() const { return kind_ == abi::BodyKind::kStream; }
  // Unknown for a stream whose length the guest did not tell.
  std::optional<uint64_t> size() const { return size_; }

  // A kHttpBody or kHttpBodyEnd record. An error means that the guest broke the protocol.
  Status OnSpan(const abi::HttpSpan& span);
  Status OnEnd();

  enum class State { kBytes, kWait, kEnd, kWrongLength, kTooLarge };
  // The next bytes, not empty when kBytes. kWait: the guest has not sent them yet.
  State Peek(std::span<const uint8_t>* bytes);
  // The first `size` bytes of the last Peek() are used up.
  void Use(size_t size);

  // From `offset` again; false for streams that have begun.
  bool Rewind(uint64_t offset);
  // Nobody wants the rest: spans are answered as they come.
  void Sink();

 private:
  void Answer(const abi::HttpSpan& span);

  const uint64_t id_;
  const uint64_t limit_;
  const GuestRegionView* guest_;
  Outbox* outbox_;
  abi::BodyKind kind_;
  std::optional<uint64_t> size_;
  std::span<const uint8_t> memory_;  // inline or region
  uint64_t used_ = 0;                // bytes handed on
  uint64_t received_ = 0;            // bytes of spans
  std::deque<abi::HttpSpan> spans_;  // the first is used up to first_used_
  uint64_t first_used_ = 0;
  bool ended_ = false;
  bool sink_ = false;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_REQUEST_BODY_H_
