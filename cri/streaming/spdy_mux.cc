#include "cri/streaming/spdy_mux.h"

#include <algorithm>

#include "cri/streaming/big_endian.h"

namespace usetl::cri::streaming {
namespace {

enum FrameType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};
enum ResetCause : uint32_t { kRefusedStream = 3, kCancel = 5 };
constexpr size_t kHeadSize = 8;
constexpr uint16_t kVersion = 3;
constexpr uint8_t kFin = 1;
constexpr uint32_t kInitialWindowSetting = 7;
constexpr uint32_t kIdMask = 0x7fffffff;
constexpr int64_t kMaxWindow = 0x7fffffff;
constexpr uint32_t kTellAfter = kSpdyWindow / 2;  // consumed bytes

Status Bad(std::string_view what) { return Status(EPROTO, "SPDY: " + std::string(what)); }

uint32_t StreamId(std::string_view payload) { return BigEndian32(payload) & kIdMask; }

}  // namespace

Status SpdyMux::Start(StreamSink* sink) {
  sink_ = sink;
  return Status();
}

Status SpdyMux::Receive(std::string_view bytes) {
  while (!bytes.empty()) {
    if (data_left_ > 0) {
      const std::string_view part = bytes.substr(0, data_left_);
      bytes.remove_prefix(part.size());
      USETL_RETURN_IF_ERROR(OnDataPart(part));
      continue;
    }
    // A control frame is collected whole, a data frame's head only.
    size_t wanted = kHeadSize;
    if (input_.size() >= kHeadSize) wanted += BigEndian32(input_.substr(4)) & 0xffffff;
    const std::string_view part = bytes.substr(0, wanted - input_.size());
    input_ += part;
    bytes.remove_prefix(part.size());
    if (input_.size() < kHeadSize) continue;
    const uint32_t first = BigEndian32(input_);
    const uint32_t second = BigEndian32(std::string_view(input_).substr(4));
    const uint32_t size = second & 0xffffff;
    const auto flags = static_cast<uint8_t>(second >> 24);
    if ((first & ~kIdMask) == 0) {
      input_.clear();
      USETL_RETURN_IF_ERROR(OnDataHead(first, flags, size));
      continue;
    }
    if ((first >> 16 & 0x7fff) != kVersion) return Bad("a frame of another version");
    if (size > kMaxControlFrame) return Bad("a control frame that is too long");
    if (input_.size() < kHeadSize + size) continue;
    const std::string frame = std::exchange(input_, {});
    USETL_RETURN_IF_ERROR(
        OnControl(static_cast<uint16_t>(first), flags, std::string_view(frame).substr(kHeadSize)));
  }
  return Status();
}

Status SpdyMux::OnControl(uint16_t type, uint8_t flags, std::string_view payload) {
  switch (type) {
    case kSynStream:
      return OnSynStream(flags, payload);
    case kHeaders:
      return OnHeaders(flags, payload);
    case kRstStream: {
      if (payload.size() != 8) return Bad("RST_STREAM of a wrong length");
      const uint32_t stream = StreamId(payload);
      if (stream == 0 || stream > last_stream_) return Bad("RST_STREAM of no stream");
      if (streams_.erase(stream) > 0) sink_->OnReset(stream);
      return Status();
    }
    case kSettings:
      return OnSettings(payload);
    case kPing:
      if (payload.size() != 4) return Bad("PING of a wrong length");
      // Even ones would be answers to ours, and we send none.
      if (BigEndian32(payload) % 2 == 1) AppendControl(kPing, 0, payload);
      return Status();
    case kGoAway:
      if (payload.size() != 8) return Bad("GOAWAY of a wrong length");
      leaving_ = true;
      return Status();
    case kWindowUpdate:
      return OnWindowUpdate(payload);
    default:
      return Bad("a frame of type " + std::to_string(type));
  }
}

Status SpdyMux::OnSynStream(uint8_t flags, std::string_view payload) {
  constexpr size_t kFields = 10;
  if (payload.size() < kFields) return Bad("SYN_STREAM is cut off");
  if ((flags & ~kFin) != 0) return Bad("SYN_STREAM with unknown flags");
  const uint32_t id = StreamId(payload);
  if (id % 2 == 0 || id <= last_stream_) return Bad("SYN_STREAM with a wrong stream");
  const Result<Headers> headers = reader_.Read(payload.substr(kFields));
  if (!headers.ok()) return headers.status();
  last_stream_ = id;
  if (leaving_ || streams_.size() >= kMaxSpdyStreams) {
    AppendReset(id, kRefusedStream);
    return Status();
  }
  const Result<std::string> none = writer_.Write({});
  if (!none.ok()) return none.status();
  streams_[id].window = initial_window_;
  std::string reply;
  AppendBigEndian32(&reply, id);
  AppendControl(kSynReply, 0, reply + *none);
  USETL_RETURN_IF_ERROR(sink_->OnOpen(id, *headers));
  return (flags & kFin) != 0 ? OnClientEnd(id) : Status();
}

Status SpdyMux::OnHeaders(uint8_t flags, std::string_view payload) {
  if (payload.size() < 4) return Bad("HEADERS is cut off");
  const uint32_t id = StreamId(payload);
  if (id == 0 || id > last_stream_) return Bad("HEADERS of no stream");
  // Read even though nobody wants them: the next block cannot be unpacked without this one.
  const Result<Headers> headers = reader_.Read(payload.substr(4));
  if (!headers.ok()) return headers.status();
  return (flags & kFin) != 0 ? OnClientEnd(id) : Status();
}

Status SpdyMux::OnSettings(std::string_view payload) {
  if (payload.size() < 4 || (payload.size() - 4) % 8 != 0 ||
      BigEndian32(payload) != (payload.size() - 4) / 8) {
    return Bad("SETTINGS of a wrong length");
  }
  for (payload.remove_prefix(4); !payload.empty(); payload.remove_prefix(8)) {
    if ((BigEndian32(payload) & 0xffffff) != kInitialWindowSetting) continue;
    const int64_t window = BigEndian32(payload.substr(4));
    if (window > kMaxWindow) return Bad("an initial window that is too large");
    for (auto& [id, stream] : streams_) {
      stream.window += window - initial_window_;
      if (stream.window > kMaxWindow) return Bad("a window that is too large");
    }
    initial_window_ = window;
    has_windows_ = true;
  }
  return Status();
}

Status SpdyMux::OnWindowUpdate(std::string_view payload) {
  if (payload.size() != 8) return Bad("WINDOW_UPDATE of a wrong length");
  const uint32_t id = StreamId(payload);
  const int64_t size = BigEndian32(payload.substr(4)) & kIdMask;
  if (size == 0) return Bad("WINDOW_UPDATE of nothing");
  if (id > last_stream_) return Bad("WINDOW_UPDATE of no stream");
  has_windows_ = true;
  const auto stream = streams_.find(id);
  if (id != 0 && stream == streams_.end()) return Status();  // over meanwhile
  int64_t* window = id == 0 ? &window_ : &stream->second.window;
  if (size > kMaxWindow - *window) return Bad("a window that is too large");
  *window += size;
  return Status();
}

Status SpdyMux::OnDataHead(uint32_t stream, uint8_t flags, uint32_t size) {
  if (stream == 0 || stream > last_stream_) return Bad("data of no stream");
  if ((flags & ~kFin) != 0) return Bad("data with unknown flags");
  const auto found = streams_.find(stream);
  if (found != streams_.end() && found->second.client_ended) return Bad("data after the end");
  data_stream_ = stream;
  data_left_ = size;
  data_ends_ = (flags & kFin) != 0;
  if (size > 0 || !data_ends_) return Status();
  return OnClientEnd(stream);
}

Status SpdyMux::OnDataPart(std::string_view part) {
  data_left_ -= static_cast<uint32_t>(part.size());
  // What was under way when a stream ended counts for the connection's window all the same.
  if (streams_.contains(data_stream_)) {
    USETL_RETURN_IF_ERROR(sink_->OnData(data_stream_, part));
  } else {
    Consumed(data_stream_, part.size());
  }
  return data_left_ == 0 && data_ends_ ? OnClientEnd(data_stream_) : Status();
}

Status SpdyMux::OnClientEnd(uint32_t id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.client_ended) return Status();
  stream->second.client_ended = true;
  USETL_RETURN_IF_ERROR(sink_->OnEnd(id));
  ForgetIfOver(streams_.find(id));
  return Status();
}

size_t SpdyMux::Room(uint32_t id) const {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.ended) return 0;
  if (!has_windows_) return kSpdyWindow;
  const int64_t room = std::min(window_, stream->second.window);
  return static_cast<size_t>(std::clamp<int64_t>(room, 0, kSpdyWindow));
}

void SpdyMux::Send(uint32_t id, std::string_view data) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || data.empty()) return;
  AppendBigEndian32(&output_, id);
  AppendBigEndian32(&output_, static_cast<uint32_t>(data.size()));
  output_ += data;
  window_ -= static_cast<int64_t>(data.size());
  stream->second.window -= static_cast<int64_t>(data.size());
}

void SpdyMux::End(uint32_t id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.ended) return;
  stream->second.ended = true;
  AppendBigEndian32(&output_, id);
  AppendBigEndian32(&output_, static_cast<uint32_t>(kFin) << 24);
  ForgetIfOver(stream);
}

void SpdyMux::Reset(uint32_t id) {
  if (streams_.erase(id) > 0) AppendReset(id, kCancel);
}

void SpdyMux::ForgetIfOver(Streams::iterator stream) {
  if (stream != streams_.end() && stream->second.client_ended && stream->second.ended) {
    streams_.erase(stream);
  }
}

void SpdyMux::Consumed(uint32_t id, size_t size) {
  const auto count = static_cast<uint32_t>(size);
  consumed_ += count;
  if (consumed_ >= kTellAfter) AppendWindowUpdate(0, std::exchange(consumed_, 0));
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.client_ended) return;
  stream->second.consumed += count;
  if (stream->second.consumed >= kTellAfter) {
    AppendWindowUpdate(id, std::exchange(stream->second.consumed, 0));
  }
}

void SpdyMux::Close() {
  std::string payload;
  AppendBigEndian32(&payload, last_stream_);
  AppendBigEndian32(&payload, 0);  // OK
  AppendControl(kGoAway, 0, payload);
}

void SpdyMux::AppendControl(uint16_t type, uint8_t flags, std::string_view payload) {
  AppendBigEndian32(&output_, ~kIdMask | static_cast<uint32_t>(kVersion) << 16 | type);
  AppendBigEndian32(&output_,
                    static_cast<uint32_t>(flags) << 24 | static_cast<uint32_t>(payload.size()));
  output_ += payload;
}

void SpdyMux::AppendReset(uint32_t stream, uint32_t cause) {
  std::string payload;
  AppendBigEndian32(&payload, stream);
  AppendBigEndian32(&payload, cause);
  AppendControl(kRstStream, 0, payload);
}

void SpdyMux::AppendWindowUpdate(uint32_t stream, uint32_t size) {
  std::string payload;
  AppendBigEndian32(&payload, stream);
  AppendBigEndian32(&payload, size);
  AppendControl(kWindowUpdate, 0, payload);
}

}  // namespace usetl::cri::streaming
