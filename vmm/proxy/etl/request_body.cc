#include "vmm/proxy/etl/request_body.h"

#include <algorithm>

namespace usetl::etl {
namespace {

// Of one stream: a guest that sends more without waiting for answers only fills our memory.
constexpr size_t kMaxSpans = 1024;
// Small pieces that lie behind one another are kept, and answered, as one of at most this size.
constexpr uint64_t kMergedSpan = 64 << 10;

}  // namespace

RequestBody::RequestBody(uint64_t id, const Request& request, uint64_t limit,
                         const GuestRegionView* guest, Outbox* outbox)
    : id_(id), limit_(limit), guest_(guest), outbox_(outbox), kind_(request.body) {
  if (kind_ == abi::BodyKind::kInline) memory_ = request.inline_body;
  if (kind_ == abi::BodyKind::kRegion) memory_ = request.region_body;
  size_ = streamed() ? request.stream_size : std::optional<uint64_t>(memory_.size());
}

void RequestBody::Answer(const abi::HttpSpan& span) {
  outbox_->Post(abi::RecordType::kHttpDone, id_, span);
}

Status RequestBody::OnSpan(const abi::HttpSpan& span) {
  if (!streamed() || ended_) return Status(EPROTO, "HTTP: a piece of body that nobody announced");
  if (!guest_->Span(span.offset, span.size).ok()) {
    return Status(EPROTO, "HTTP: a piece of body beyond the guest region");
  }
  received_ += span.size;
  if (sink_ || span.size == 0) {
    Answer(span);
    return Status();
  }
  if (!spans_.empty() && spans_.back().offset + spans_.back().size == span.offset &&
      spans_.back().size + span.size <= kMergedSpan) {
    spans_.back().size += span.size;
    return Status();
  }
  if (spans_.size() >= kMaxSpans) return Status(EPROTO, "HTTP: too many pieces of body at once");
  spans_.push_back(span);
  return Status();
}

Status RequestBody::OnEnd() {
  if (!streamed() || ended_) return Status(EPROTO, "HTTP: an end of body that nobody announced");
  ended_ = true;
  return Status();
}

RequestBody::State RequestBody::Peek(std::span<const uint8_t>* bytes) {
  if (!streamed()) {
    *bytes = memory_.subspan(used_);
    return bytes->empty() ? State::kEnd : State::kBytes;
  }
  if (received_ > limit_) return State::kTooLarge;
  if (size_ && (received_ > *size_ || (ended_ && received_ < *size_))) return State::kWrongLength;
  if (spans_.empty()) {
    return ended_ ? State::kEnd : State::kWait;
  }
  const abi::HttpSpan& span = spans_.front();
  // Checked when it came; the region does not shrink.
  *bytes = *guest_->Span(span.offset + first_used_, span.size - first_used_);
  return State::kBytes;
}

void RequestBody::Use(size_t size) {
  used_ += size;
  if (!streamed()) return;
  first_used_ += size;
  if (first_used_ < spans_.front().size) return;
  Answer(spans_.front());
  spans_.pop_front();
  first_used_ = 0;
}

bool RequestBody::Rewind(uint64_t offset) {
  if (streamed()) return used_ == offset;
  if (offset > memory_.size()) return false;
  used_ = offset;
  return true;
}

void RequestBody::Sink() {
  sink_ = true;
  for (const abi::HttpSpan& span : spans_) Answer(span);
  spans_.clear();
  first_used_ = 0;
}

}  // namespace usetl::etl
