// http2_callbacks.cc: what libnghttp2 tells of a connection.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "vmm/proxy/gateway/header_rules.h"
#include "vmm/proxy/gateway/http2.h"

namespace usetl::gateway {
namespace {

// Frames that carry nothing, and resets, per ten seconds.
constexpr uint32_t kMaxUnproductive = 1000;
constexpr uint64_t kWindowNs = 10'000'000'000;
constexpr uint32_t kResetWeight = 5;
constexpr size_t kFieldOverhead = 32;  // RFC 9113 6.5.2

std::string_view AsText(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// HTTP/2 clients may split the cookies; functions expect one header.
void AppendCookie(std::string_view value, Headers* headers) {
  for (auto& [name, cookies] : *headers) {
    if (name == "cookie") {
      cookies.append("; ").append(value);
      return;
    }
  }
  headers->emplace_back("cookie", value);
}

}  // namespace

Http2::Stream* Http2::FindStream(uint32_t number) {
  const auto found = streams_.find(number);
  return found == streams_.end() ? nullptr : found->second.get();
}

bool Http2::CountUnproductive(uint32_t weight) {
  const uint64_t now = NowNs();
  if (now - window_begun_ > kWindowNs) {
    window_begun_ = now;
    unproductive_ = 0;
  }
  unproductive_ += weight;
  flooded_ = unproductive_ > kMaxUnproductive;
  return !flooded_;
}

int Http2::OnBeginHeaders(Session*, const nghttp2_frame* frame, void* self) {
  auto* http2 = static_cast<Http2*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  http2->since_ = NowNs();
  auto stream = std::make_unique<Stream>();
  stream->body_last = stream->body_since = http2->since_;
  http2->streams_.emplace(frame->hd.stream_id, std::move(stream));
  return 0;
}

int Http2::OnHeader(Session*, const nghttp2_frame* frame, const uint8_t* name_bytes,
                    size_t name_size, const uint8_t* value_bytes, size_t value_size, uint8_t,
                    void* self) {
  auto* http2 = static_cast<Http2*>(self);
  Stream* const stream = http2->FindStream(frame->hd.stream_id);
  // Trailers are not handed on.
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || stream == nullptr) return 0;
  const std::string_view name = AsText(name_bytes, name_size);
  const std::string_view value = AsText(value_bytes, value_size);
  stream->header_bytes += name_size + value_size + kFieldOverhead;
  Request& request = stream->request;
  if (stream->header_bytes > kMaxHeaderBytes + kMaxTarget ||
      request.headers.size() >= kMaxHeaders) {
    stream->refusal = 431;
  }
  if (stream->refusal != 0) return 0;
  // A client that repeats itself sends a byte per header, and need not end its requests.
  const uint64_t size = name_size + value_size + kFieldOverhead;
  if (!http2->connection_->core().Charge(size)) {
    stream->refusal = 503;
    return 0;
  }
  stream->charged += size;
  if (name == ":method") {
    request.method = value;
  } else if (name == ":path") {
    std::string authority;
    if (value_size > kMaxTarget) {
      stream->refusal = 414;
    } else if (!SplitTarget(value, &request, &authority)) {
      // The order of pseudo-headers is free: the method of "*" may come later.
      if (value != "*") stream->refusal = 400;
    }
  } else if (name == ":authority") {
    Set(&request.headers, "host", std::string(value));
  } else if (name == ":protocol") {
    stream->refusal = 501;
  } else if (name == "host" && !Find(request.headers, "host").empty()) {
    if (Find(request.headers, "host") != value) stream->refusal = 400;
  } else if (name == "cookie") {
    AppendCookie(value, &request.headers);
  } else if (name.front() != ':') {
    request.headers.emplace_back(name, value);
  }
  return 0;
}

void Http2::OnHeadComplete(uint32_t number, Stream* stream) {
  Request& request = stream->request;
  stream->is_head = request.method == "HEAD";
  if (request.method == "CONNECT") stream->refusal = 501;
  if (!IsHost(Find(request.headers, "host"))) stream->refusal = 400;
  if (request.path == "*" && request.method != "OPTIONS") stream->refusal = 400;
  const std::string_view length = Find(request.headers, "content-length");
  // nghttp2 has checked that it is a number, and will compare it with the body.
  uint64_t size = 0;
  const auto read = std::from_chars(length.data(), length.data() + length.size(), size);
  const bool is_long = !length.empty() && read.ec != std::errc();
  const Options& options = connection_->core().options();
  stream->streams = options.stream_bodies && (length.empty() || size > kMaxGathered);
  if (is_long || (size > options.max_body && !stream->streams)) stream->refusal = 413;
  if (stream->refusal == 0 && EqualsIgnoreCase(Find(request.headers, "expect"), "100-continue")) {
    const char kStatus[] = ":status", kContinue[] = "100";
    nghttp2_nv field{reinterpret_cast<uint8_t*>(const_cast<char*>(kStatus)),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(kContinue)), 7, 3,
                     NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(number), nullptr,
                           &field, 1, nullptr);
  }
}

int Http2::OnFrame(Session*, const nghttp2_frame* frame, void* self) {
  auto* http2 = static_cast<Http2*>(self);
  const uint32_t number = frame->hd.stream_id;
  const uint8_t type = frame->hd.type;
  const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool is_control = type == NGHTTP2_PING || type == NGHTTP2_SETTINGS ||
                          type == NGHTTP2_PRIORITY || type == NGHTTP2_RST_STREAM;
  const bool is_empty = type == NGHTTP2_DATA && frame->hd.length == 0 && !end;
  if ((is_control || is_empty) &&
      !http2->CountUnproductive(type == NGHTTP2_RST_STREAM ? kResetWeight : 1)) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA) return 0;
  Stream* const stream = http2->FindStream(number);
  if (stream == nullptr || stream->complete) return 0;
  if (type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    http2->OnHeadComplete(number, stream);
  }
  stream->complete = end || stream->refusal != 0;
  if (stream->complete) {
    http2->complete_.push_back(number);
  } else if (stream->streams) {
    http2->partial_.push_back(number);
  }
  return 0;
}

int Http2::OnData(Session* session, uint8_t, int32_t number, const uint8_t* data, size_t size,
                  void* self) {
  auto* http2 = static_cast<Http2*>(self);
  // One stream whose function is slow must not hold up the others.
  nghttp2_session_consume_connection(session, size);
  Stream* const stream = http2->FindStream(static_cast<uint32_t>(number));
  const bool wanted =
      stream != nullptr && !stream->complete && stream->refusal == 0 && !stream->answered;
  if (!wanted || !stream->streams) nghttp2_session_consume_stream(session, number, size);
  if (!wanted) return 0;
  Core& core = http2->connection_->core();
  std::string& body = stream->request.body;
  if (!stream->streams && size > core.options().max_body - body.size()) {
    stream->refusal = 413;
  } else if (!core.Charge(size)) {
    stream->refusal = 503;
  } else {
    stream->charged += size;
    body.append(AsText(data, size));
    http2->since_ = stream->body_last = NowNs();
    stream->body_got += size;
    return 0;
  }
  core.Release(std::exchange(stream->charged, 0));
  std::string().swap(body);
  return 0;
}

int Http2::OnStreamClose(Session*, int32_t number, uint32_t error, void* self) {
  auto* http2 = static_cast<Http2*>(self);
  const auto found = http2->streams_.find(static_cast<uint32_t>(number));
  if (found == http2->streams_.end()) return 0;
  Stream& stream = *found->second;
  Core& core = http2->connection_->core();
  if (stream.id != 0 && stream.head_only && error == NGHTTP2_NO_ERROR) {
    // The client has all of it, whatever else the function says: nobody may find the connection
    // by this number when it is gone.
    const Ticket* const ticket = core.Find(stream.id);
    core.Finish(stream.id, ticket == nullptr ? 0 : ticket->status);
  } else if (stream.id != 0) {
    http2->cancelled_.push_back(stream.id);
  }
  core.Release(stream.charged + stream.out.size() - stream.sent);
  http2->streams_.erase(found);
  http2->since_ = NowNs();
  return 0;
}

// Of a request that was refused before its end: what follows is of no use (RFC 9113 8.1).
void Http2::EndRequest(int32_t number) {
  if (nghttp2_session_get_stream_remote_close(session_, number) != 0) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, number, NGHTTP2_NO_ERROR);
}

ssize_t Http2::OnRead(Session*, int32_t number, uint8_t* to, size_t size, uint32_t* flags,
                      nghttp2_data_source*, void* self) {
  auto* http2 = static_cast<Http2*>(self);
  Stream* const stream = http2->FindStream(static_cast<uint32_t>(number));
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const size_t taken = std::min(size, stream->out.size() - stream->sent);
  std::memcpy(to, stream->out.data() + stream->sent, taken);
  stream->sent += taken;
  http2->connection_->core().Release(taken);
  if (taken != 0) stream->stalled_since = NowNs();
  if (stream->sent == stream->out.size()) {
    stream->out.clear();
    stream->sent = 0;
    if (stream->ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      http2->EndRequest(number);
    }
  } else if (stream->sent > stream->out.size() / 2) {
    // A function that is always ahead never lets it become empty.
    stream->out.erase(0, stream->sent);
    stream->sent = 0;
  }
  if (taken == 0 && (*flags & NGHTTP2_DATA_FLAG_EOF) == 0) return NGHTTP2_ERR_DEFERRED;
  return static_cast<ssize_t>(taken);
}

}  // namespace usetl::gateway
