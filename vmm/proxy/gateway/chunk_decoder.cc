#include "vmm/proxy/gateway/chunk_decoder.h"

#include <algorithm>

namespace usetl::gateway {
namespace {

constexpr uint32_t kMaxDigits = 15;
// Of all extensions and trailers of a body.
constexpr uint32_t kMaxOverhead = 8 << 10;

int HexOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsText(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

}  // namespace

ChunkDecoder::State ChunkDecoder::Take(std::string_view bytes, uint64_t max_body, std::string* body,
                                       size_t* used) {
  size_t i = 0;
  State state = State::kMore;
  while (i < bytes.size() && state == State::kMore) {
    if (at_ != At::kData) {
      state = TakeControl(bytes[i++]);
      if (at_ == At::kData && left_ > max_body - body->size()) state = State::kTooLarge;
      continue;
    }
    const size_t size = std::min<uint64_t>(left_, bytes.size() - i);
    body->append(bytes.substr(i, size));
    i += size;
    left_ -= size;
    if (left_ == 0) at_ = At::kDataCr;
  }
  *used = i;
  return state;
}

ChunkDecoder::State ChunkDecoder::TakeSize(char c) {
  const int digit = HexOf(c);
  if (digit >= 0) {
    left_ = left_ << 4 | static_cast<uint64_t>(digit);
    return ++digits_ > kMaxDigits ? State::kMalformed : State::kMore;
  }
  if (digits_ == 0) return State::kMalformed;
  last_ = left_ == 0;
  at_ = c == ';' ? At::kExtension : At::kSizeEnd;
  return c == ';' || c == '\r' ? State::kMore : State::kMalformed;
}

ChunkDecoder::State ChunkDecoder::TakeControl(char c) {
  const auto expect = [this, c](char wanted, At next) {
    at_ = next;
    return c == wanted ? State::kMore : State::kMalformed;
  };
  switch (at_) {
    case At::kSize:
      return TakeSize(c);
    case At::kExtension:
    case At::kTrailer:
      if (c == '\r') {
        at_ = at_ == At::kTrailer ? At::kTrailerEnd : At::kSizeEnd;
        return State::kMore;
      }
      return IsText(c) && ++overhead_ <= kMaxOverhead ? State::kMore : State::kMalformed;
    case At::kSizeEnd:
      digits_ = 0;
      return expect('\n', last_ ? At::kLine : At::kData);
    case At::kDataCr:
      return expect('\r', At::kDataLf);
    case At::kDataLf:
      return expect('\n', At::kSize);
    case At::kLine:  // of a trailer, or the empty one
      at_ = c == '\r' ? At::kLastEnd : At::kTrailer;
      // With the line's end, so that many short lines are no way around the limit.
      overhead_ += 3;
      return (c == '\r' || IsText(c)) && overhead_ <= kMaxOverhead ? State::kMore
                                                                   : State::kMalformed;
    case At::kTrailerEnd:
      return expect('\n', At::kLine);
    case At::kLastEnd:
      return c == '\n' ? State::kDone : State::kMalformed;
    case At::kData:
      break;  // taken as a whole
  }
  return State::kMalformed;
}

}  // namespace usetl::gateway
