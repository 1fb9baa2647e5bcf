#include "vmm/proxy/gateway/http2.h"

#include <algorithm>

#include "vmm/proxy/gateway/header_rules.h"

namespace usetl::gateway {
namespace {

constexpr uint32_t kMaxStreams = 100;
constexpr uint32_t kStreamWindow = 256 << 10;
constexpr int32_t kConnectionWindow = 1 << 20;
constexpr size_t kHighWater = 256 << 10;

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '-'             ? 62
                      : c == '_'             ? 63
                                             : -1;
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffffff;
    if ((count += 6) < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return bytes;
}

nghttp2_nv AsNv(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

Http2::Http2(Connection* connection) : connection_(connection), since_(NowNs()) {}

Http2::~Http2() {
  for (const auto& [number, stream] : streams_) {
    connection_->core().Release(stream->charged + stream->out.size() - stream->sent);
  }
  nghttp2_session_del(session_);
}

Result<std::unique_ptr<Http2>> Http2::Create(Connection* connection) {
  std::unique_ptr<Http2> http2(new Http2(connection));
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return Status(ENOMEM, "nghttp2");
  if (nghttp2_option_new(&option) != 0) {
    nghttp2_session_callbacks_del(callbacks);
    return Status(ENOMEM, "nghttp2");
  }
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
  nghttp2_option_set_no_closed_streams(option, 1);
  // What a function has not used of a streamed body counts against the stream's window.
  nghttp2_option_set_no_auto_window_update(option, 1);
  int error = nghttp2_session_server_new2(&http2->session_, callbacks, http2.get(), option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (error != 0) return Status(ENOMEM, "nghttp2");
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaderBytes},
  };
  error =
      nghttp2_submit_settings(http2->session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  if (error == 0) {
    error = nghttp2_session_set_local_window_size(http2->session_, NGHTTP2_FLAG_NONE, 0,
                                                  kConnectionWindow);
  }
  if (error != 0) return Status(ENOMEM, nghttp2_strerror(error));
  return http2;
}

bool Http2::Upgrade(std::string_view settings, Request&& first) {
  const std::optional<std::string> payload = DecodeBase64Url(settings);
  if (!payload) return false;
  const bool is_head = first.method == "HEAD";
  if (nghttp2_session_upgrade2(session_, reinterpret_cast<const uint8_t*>(payload->data()),
                               payload->size(), is_head ? 1 : 0, nullptr) != 0) {
    return false;
  }
  auto stream = std::make_unique<Stream>();
  stream->request = std::move(first);
  stream->is_head = is_head;
  stream->complete = true;
  streams_.emplace(1, std::move(stream));
  complete_.push_back(1);
  return true;
}

void Http2::OnBecome() {
  if (connection_->core().draining()) Drain();
  SubmitComplete();
  Pump();
}

size_t Http2::OnInput(std::string_view bytes) {
  busy_ = true;
  const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  busy_ = false;
  SubmitComplete();
  // libnghttp2 has a limit of its own for what it has to acknowledge.
  if (flooded_ || used == NGHTTP2_ERR_FLOODED) {
    Terminate(NGHTTP2_ENHANCE_YOUR_CALM);
  } else if (used < 0) {
    ++connection_->core().counters().malformed;
    Terminate(NGHTTP2_PROTOCOL_ERROR);
  } else {
    Pump();
  }
  return bytes.size();
}

void Http2::SubmitComplete() {
  busy_ = true;
  // Answers may come at once; they are sent by the Pump() after this.
  for (const uint64_t id : std::exchange(cancelled_, {})) connection_->core().Cancel(id);
  for (const uint32_t number : std::exchange(complete_, {})) {
    Stream* const stream = FindStream(number);
    if (stream == nullptr) continue;  // reset since
    if (stream->refusal != 0) {
      stream->id == 0 ? RefuseStream(number, stream) : BreakBody(number, stream);
    } else if (stream->id != 0) {
      SubmitBody(number, stream);
    } else if (!stream->answered) {
      SubmitStream(number, stream);
    }
  }
  // Behind those: whose body is complete by now is no partial one.
  for (const uint32_t number : std::exchange(partial_, {})) {
    Stream* const stream = FindStream(number);
    if (stream == nullptr || stream->complete || stream->answered) continue;
    stream->id == 0 ? SubmitStream(number, stream) : SubmitBody(number, stream);
  }
  busy_ = false;
}

void Http2::SubmitBody(uint32_t number, Stream* stream) {
  Core& core = connection_->core();
  const uint64_t id = stream->id;
  const std::string body = std::exchange(stream->request.body, std::string());
  core.Release(body.size());
  stream->charged -= body.size();
  if (!body.empty() && !core.Body(id, body)) return BreakBody(number, stream);
  // It may have been answered just now.
  if (FindStream(number) == stream && stream->id == id && stream->complete) core.BodyEnd(id);
}

void Http2::BreakBody(uint32_t number, Stream* stream) {
  connection_->core().Cancel(std::exchange(stream->id, 0));
  stream->answered = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(number),
                            NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2::OnBodyTaken(uint32_t number, uint64_t bytes, bool waited) {
  Stream* const stream = FindStream(number);
  if (stream == nullptr) return;
  if (waited) {
    // While the function was slow the client had no time of its own.
    stream->body_last = stream->body_since = NowNs();
    stream->body_got = 0;
  }
  nghttp2_session_consume_stream(session_, static_cast<int32_t>(number), bytes);
}

void Http2::SubmitStream(uint32_t number, Stream* stream) {
  Core& core = connection_->core();
  Request request = std::exchange(stream->request, Request());
  stream->request_id = SaneRequestId(request.headers);
  if (stream->request_id.empty()) {
    stream->request_id = core.NewRequestId();
    Set(&request.headers, "x-request-id", stream->request_id);
  }
  request.request_id = stream->request_id;
  request.http_version.assign(1, '2');
  request.body_follows = stream->streams && !stream->complete;
  if (!request.body.empty() && !request.body_follows) {
    Set(&request.headers, "content-length", std::to_string(request.body.size()));
  }
  DropHopByHop(&request.headers, {});
  request.client = connection_->client();
  request.server = connection_->server();
  stream->id = core.Open(connection_, number, std::exchange(stream->charged, 0));
  core.Submit(stream->id, std::move(request));
}

void Http2::RefuseStream(uint32_t number, Stream* stream) {
  ++connection_->core().counters().malformed;
  // First: there may be no memory left for the answer.
  connection_->core().Release(std::exchange(stream->charged, 0));
  stream->request = {};
  const std::string body = ErrorBody(ReasonOf(stream->refusal), {});
  Answer(0, number, {stream->refusal, {{"content-type", "application/json"}}}, body.size());
  AnswerData(0, number, body);
  AnswerEnd(0, number);
  if (stream->head_only) EndRequest(static_cast<int32_t>(number));
}

void Http2::Answer(uint64_t, uint32_t number, AnswerHead head, std::optional<uint64_t> size) {
  Stream* const stream = FindStream(number);
  if (stream == nullptr) return;
  stream->no_body = head.status == 204 || head.status == 304 || stream->is_head;
  stream->sized = size.has_value();
  stream->left = size.value_or(0);
  const std::string status = std::to_string(head.status);
  const std::string length = std::to_string(size.value_or(0));
  std::vector<nghttp2_nv> fields;
  fields.reserve(head.headers.size() + 4);
  fields.push_back(AsNv(":status", status));
  bool dated = false;
  for (const auto& [name, value] : head.headers) {
    if (IsGatewaysOwn(name) || !IsHeaderName(name) || !IsHeaderValue(value)) continue;
    if (name == "date") dated = true;
    fields.push_back(AsNv(name, value));
  }
  if (size && head.status != 204 && head.status != 304) {
    fields.push_back(AsNv("content-length", length));
  }
  if (!stream->request_id.empty()) fields.push_back(AsNv("x-request-id", stream->request_id));
  if (!dated) fields.push_back(AsNv("date", connection_->core().Date()));
  nghttp2_data_provider provider{{.ptr = stream}, OnRead};
  // Of an answer before the request's end the data's end, empty or not, ends the request too.
  const bool has_data = !stream->complete || (!stream->no_body && !(size && *size == 0));
  stream->head_only = !has_data;
  if (nghttp2_submit_response(session_, static_cast<int32_t>(number), fields.data(), fields.size(),
                              has_data ? &provider : nullptr) != 0) {
    return connection_->Break();
  }
  if (!size) Pump();
}

bool Http2::AnswerData(uint64_t, uint32_t number, std::string_view bytes) {
  Stream* const stream = FindStream(number);
  if (stream == nullptr || stream->no_body || bytes.empty()) return true;
  if (stream->sized) {
    bytes = bytes.substr(0, stream->left);
    stream->left -= bytes.size();
  }
  if (!connection_->core().Charge(bytes.size())) {
    connection_->Break();
    return true;
  }
  if (stream->sent == stream->out.size()) stream->stalled_since = NowNs();
  stream->out.append(bytes);
  nghttp2_session_resume_data(session_, static_cast<int32_t>(number));
  if (!stream->sized || stream->left != 0) Pump();
  const Stream* const still = FindStream(number);
  return still == nullptr || still->out.size() - still->sent < kHighWater;
}

void Http2::AnswerEnd(uint64_t id, uint32_t number) {
  Stream* const stream = FindStream(number);
  if (stream == nullptr) return;
  if (stream->sized && stream->left != 0 && !stream->no_body) return BreakOff(id, number);
  stream->id = 0;
  stream->answered = true;
  stream->ended = true;
  nghttp2_session_resume_data(session_, static_cast<int32_t>(number));
  Pump();
}

void Http2::BreakOff(uint64_t, uint32_t number) {
  Stream* const stream = FindStream(number);
  if (stream == nullptr) return;
  stream->id = 0;
  stream->answered = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(number),
                            NGHTTP2_INTERNAL_ERROR);
  Pump();
}

void Http2::OnSent() {
  SubmitComplete();
  Pump();
  std::vector<uint64_t> room;
  for (const auto& [number, stream] : streams_) {
    if (stream->id != 0 && stream->out.size() - stream->sent < kHighWater / 2) {
      room.push_back(stream->id);
    }
  }
  for (const uint64_t id : room) connection_->core().Room(id);
}

bool Http2::Gather() {
  while (connection_->unsent() < kHighWater) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return false;
    if (size == 0) break;
    connection_->out().append(reinterpret_cast<const char*>(bytes), size);
  }
  return true;
}

void Http2::Pump() {
  if (busy_ || connection_->dead()) return;
  // As long as the socket takes everything: it tells of room only after it had none.
  do {
    busy_ = true;
    const bool gathered = Gather();
    busy_ = false;
    if (!gathered) return connection_->Break();
    if (connection_->unsent() == 0) break;
    connection_->Flush();
  } while (!connection_->dead() && connection_->unsent() == 0);
  // Streams may have ended with what was sent, and nothing may be left to be said.
  if (!cancelled_.empty()) connection_->core().Defer(connection_);
  const bool over =
      nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  // Unread input would reset the connection, and the client lose what is said of its end.
  if (over || (draining_ && streams_.empty())) connection_->Finish(!draining_);
}

void Http2::Terminate(uint32_t error) {
  nghttp2_session_terminate_session(session_, error);
  Pump();
  connection_->Finish(true);
}

std::string Http2::RequestIdOf(uint32_t number) const {
  const auto found = streams_.find(number);
  return found == streams_.end() ? std::string() : found->second->request_id;
}

void Http2::Drain() {
  draining_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  Pump();
}

uint64_t Http2::BodyDeadline(const Stream& stream) const {
  const Options& options = connection_->core().options();
  const bool over = stream.complete || stream.answered;
  if (over || connection_->core().BodyWaits(stream.id)) return kNever;
  return std::min(stream.body_last,
                  stream.body_since + TimeFor(stream.body_got, options.body_rate)) +
         Nanoseconds(options.body_idle);
}

uint64_t Http2::Deadline() const {
  const Options& options = connection_->core().options();
  if (streams_.empty()) return since_ + Nanoseconds(options.keep_alive);
  uint64_t deadline = kNever;
  for (const auto& [number, stream] : streams_) {
    deadline = std::min(deadline, BodyDeadline(*stream));
    if (stream->out.size() != stream->sent) {
      deadline = std::min(deadline, stream->stalled_since + Nanoseconds(options.write_stall));
    }
  }
  return deadline;
}

void Http2::OnDeadline() {
  const uint64_t now = NowNs();
  const size_t before = complete_.size();
  for (const auto& [number, stream] : streams_) {
    if (BodyDeadline(*stream) > now) continue;
    stream->refusal = 408;
    stream->complete = true;
    complete_.push_back(number);
  }
  // A body that comes too slowly is a matter of its stream alone.
  if (complete_.size() == before) return Terminate(NGHTTP2_NO_ERROR);
  SubmitComplete();
  Pump();
}

void Http2::CancelAll() {
  for (const uint64_t id : std::exchange(cancelled_, {})) connection_->core().Cancel(id);
  // The backend may answer others meanwhile, but this connection's streams are not touched: dead.
  std::vector<uint64_t> open;
  for (const auto& [number, stream] : streams_) {
    if (stream->id != 0) open.push_back(stream->id);
  }
  for (const uint64_t id : open) connection_->core().Cancel(id);
}

}  // namespace usetl::gateway
