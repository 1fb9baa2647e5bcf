#include "vmm/proxy/etl/response_writer.h"

#include <algorithm>
#include <cstring>

namespace usetl::etl {
namespace {

using abi::HttpError;

constexpr uint64_t kUnknownLengthStart = 256 << 10;
constexpr uint64_t kSmallestWindow = 64 << 10;
constexpr size_t kLargestHead = abi::kMaxRecord - sizeof(abi::RecordHeader) - sizeof(abi::HttpHead);

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void ResponseWriter::PostHead(abi::HttpHead head, std::string_view message) {
  const std::string_view text = head.error == HttpError::kNone ? headers_ : message;
  head.headers_size = head.error == HttpError::kNone ? static_cast<uint32_t>(text.size()) : 0;
  head.message_size = head.error == HttpError::kNone ? 0 : static_cast<uint32_t>(text.size());
  outbox_->Post(abi::RecordType::kHttpHead, id_, head, Bytes(text));
}

void ResponseWriter::PostEnd(HttpError error, std::string_view message) {
  const abi::HttpEnd end{error, static_cast<uint32_t>(message.size())};
  outbox_->Post(abi::RecordType::kHttpEnd, id_, end, Bytes(message));
}

HttpError ResponseWriter::Begin(int status, std::string headers, std::optional<uint64_t> length,
                                Mode mode) {
  if (headers.size() > kLargestHead) return HttpError::kTooLarge;
  status_ = status;
  headers_ = std::move(headers);
  length_ = length;
  mode_ = mode;
  state_ = State::kStored;
  if (length == 0u) return HttpError::kNone;
  if (mode == Mode::kStream) {
    return StartStream(length) ? HttpError::kNone : HttpError::kNoSpace;
  }
  Result<BodyCursor> cursor = region_->Reserve(length.value_or(kUnknownLengthStart));
  // Without a length the first page will do: Append() grows it.
  if (!cursor.ok() && !length) cursor = region_->Reserve(1);
  if (cursor.ok()) {
    cursor_ = std::move(*cursor);
    return HttpError::kNone;
  }
  if (mode == Mode::kStoreOrStream && StartStream(length)) return HttpError::kNone;
  return HttpError::kNoSpace;
}

// What a cursor holds already becomes the first bytes of the ring. A ring must take what a producer
// hands over at once, else both sides would wait for each other.
bool ResponseWriter::StartStream(std::optional<uint64_t> length) {
  if (cursor_.ok() && !cursor_.Grow(kSmallestWindow).ok()) return false;
  if (!cursor_.ok()) {
    Result<BodyCursor> ring = region_->ReserveWindow(std::max(window_, kSmallestWindow));
    if (!ring.ok()) return false;
    cursor_ = std::move(*ring);
  }
  written_ = cursor_.size();
  abi::HttpHead head{};
  head.status = static_cast<uint32_t>(status_);
  head.entry = abi::kNoEntry;
  head.streamed = 1;
  head.body_size = length.value_or(~uint64_t{0});
  PostHead(head, {});
  state_ = State::kStreamed;
  return true;
}

ResponseWriter::Write ResponseWriter::Append(std::span<const uint8_t> bytes) {
  if (state_ == State::kStored) {
    if (!cursor_.ok()) return Write::kNoSpace;
    if (cursor_.Append(bytes).ok()) {
      total_ += bytes.size();
      return Write::kTaken;
    }
    if (mode_ != Mode::kStoreOrStream || !StartStream(length_)) return Write::kNoSpace;
    Flush();
  }
  if (bytes.size() > free()) return Write::kFull;
  while (!bytes.empty()) {
    Write result;
    const std::span<uint8_t> room = Room(bytes.size(), &result);
    std::memcpy(room.data(), bytes.data(), room.size());
    Commit(room.size());
    bytes = bytes.subspan(room.size());
  }
  return Write::kTaken;
}

std::span<uint8_t> ResponseWriter::Room(size_t wanted, Write* result) {
  *result = Write::kTaken;
  if (state_ == State::kStored) {
    if (!cursor_.ok() || !cursor_.Grow(cursor_.size() + wanted).ok()) {
      *result = Write::kNoSpace;
      return {};
    }
    return {cursor_.data() + cursor_.size(), wanted};
  }
  if (free() == 0) {
    *result = Write::kFull;
    return {};
  }
  const uint64_t at = written_ % cursor_.capacity();
  return {cursor_.data() + at, std::min<uint64_t>({wanted, free(), cursor_.capacity() - at})};
}

void ResponseWriter::Commit(size_t size) {
  total_ += size;
  if (state_ == State::kStored) {
    cursor_.Advance(size);
    return;
  }
  written_ += size;
  // A quarter of the ring: the guest reads while the next quarters are filled.
  if (written_ - posted_ >= cursor_.capacity() / 4) Flush();
}

bool ResponseWriter::roomy() const {
  return state_ != State::kStreamed || free() >= std::min(cursor_.capacity() / 2, kSmallestWindow);
}

void ResponseWriter::Flush() {
  if (state_ != State::kStreamed && state_ != State::kDraining) return;
  // While the ring of records is full the bytes gather here and become one larger span.
  while (posted_ != written_ && !outbox_->congested()) {
    const uint64_t at = posted_ % cursor_.capacity();
    const uint64_t size = std::min(written_ - posted_, cursor_.capacity() - at);
    const abi::HttpSpan span{cursor_.offset() + at, size};
    posted_ += size;
    outbox_->Post(abi::RecordType::kHttpData, id_, span);
  }
}

Status ResponseWriter::OnConsumed(const abi::HttpSpan& span) {
  if (state_ != State::kStreamed && state_ != State::kDraining) {
    return Status(EPROTO, "HTTP: consumed what was not streamed");
  }
  if (span.offset != cursor_.offset() + consumed_ % cursor_.capacity() ||
      span.size > posted_ - consumed_) {
    return Status(EPROTO, "HTTP: consumed what was not sent");
  }
  consumed_ += span.size;
  if (state_ == State::kDraining && consumed_ == written_) {
    cursor_.Discard();
    state_ = State::kDone;
    PostEnd(HttpError::kNone, {});
  }
  return Status();
}

HttpError ResponseWriter::Finish() {
  if (state_ == State::kStreamed) {
    state_ = State::kDraining;
    Flush();
    if (consumed_ == written_) {
      cursor_.Discard();
      state_ = State::kDone;
      PostEnd(HttpError::kNone, {});
    }
    return HttpError::kNone;
  }
  abi::HttpHead head{};
  head.status = static_cast<uint32_t>(status_);
  head.entry = abi::kNoEntry;
  if (total_ != 0) {
    Result<PublishedBody> body = cursor_.Publish();
    if (!body.ok()) return HttpError::kNoSpace;
    head.entry = body->entry;
    head.body_offset = body->offset;
    head.body_size = body->size;
  }
  cursor_.Discard();
  state_ = State::kDone;
  PostHead(head, {});
  return HttpError::kNone;
}

void ResponseWriter::Fail(HttpError error, std::string_view message) {
  const bool streamed = state_ == State::kStreamed || state_ == State::kDraining;
  cursor_.Discard();
  state_ = State::kDone;
  if (streamed) {
    PostEnd(error, message);
    return;
  }
  abi::HttpHead head{};
  head.error = error;
  head.entry = abi::kNoEntry;
  PostHead(head, message);
}

}  // namespace usetl::etl
