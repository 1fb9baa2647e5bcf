#include "vmm/proxy/gateway/http1.h"

#include <algorithm>
#include <utility>

#include "vmm/proxy/gateway/header_rules.h"
#include "vmm/proxy/gateway/http2.h"

namespace usetl::gateway {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr size_t kMaxHead = kMaxHeaderBytes + kMaxTarget + 64;
constexpr std::string_view kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n";

}  // namespace

Http1::Http1(Connection* connection) : connection_(connection), since_(NowNs()) {}

std::string Http1::TooLarge() const {
  const uint64_t most = connection_->core().options().max_body;
  return "the request's body is larger than " + std::to_string(most >> 20) +
         " MB; an application (WSGI, ASGI) may read it as it comes";
}

bool Http1::WantsInput() const {
  // A client that pipelines, but takes no answers, would make us hold ever more of them.
  const bool between = state_ == State::kHead && !head_begun_;
  if (state_ == State::kAnswering || (between && connection_->unsent() >= kHighWater)) return false;
  return id_ == 0 || !connection_->core().BodyWaits(id_);
}

size_t Http1::OnInput(std::string_view bytes) {
  if (fresh_) {
    if (bytes.size() < kPreface.size() && kPreface.substr(0, bytes.size()) == bytes) {
      head_begun_ = true;
      return 0;
    }
    fresh_ = false;
    if (bytes.substr(0, kPreface.size()) == kPreface) {
      auto h2 = Http2::Create(connection_);
      if (!h2.ok()) {
        connection_->Break();
        return 0;
      }
      connection_->Become(std::move(*h2));
      return 0;
    }
  }
  size_t used = 0;
  while (WantsInput() && !connection_->finishing() && !connection_->dead()) {
    const std::string_view rest = bytes.substr(used);
    const State before = state_;
    const size_t size = state_ == State::kHead     ? TakeHead(rest)
                        : state_ == State::kLength ? TakeLength(rest)
                                                   : TakeChunks(rest);
    used += size;
    if (size == 0 && state_ == before) break;
  }
  // Nobody knows when the rest comes: the client may wait for an answer to what it has sent.
  const bool ends = connection_->finishing() || connection_->dead();
  if (state_ == State::kChunks && id_ == 0 && Streams() && !ends) Submit(true);
  return used;
}

bool Http1::Streams() const {
  return connection_->core().options().stream_bodies &&
         (state_ == State::kChunks || body_left_ > kMaxGathered);
}

size_t Http1::TakeHead(std::string_view bytes) {
  // An empty line before a request, which old clients send after a body.
  const size_t skipped = bytes.substr(0, 2) == "\r\n" ? 2 : 0;
  if (skipped != 0) {
    scanned_ = 0;
    return skipped;
  }
  if (bytes.empty()) return 0;
  if (!head_begun_) {
    head_begun_ = true;
    since_ = NowNs();
  }
  const size_t end = bytes.find(kHeadEnd, scanned_);
  if (end == bytes.npos && bytes.size() < kMaxHead) {
    scanned_ = bytes.size() - std::min<size_t>(bytes.size(), kHeadEnd.size() - 1);
    return 0;
  }
  scanned_ = 0;
  head_begun_ = false;
  is_head_ = false;
  request_id_.clear();
  if (end == bytes.npos || end > kMaxHead) {
    const bool long_target = bytes.substr(0, kMaxTarget).find("\r\n") == bytes.npos;
    Refuse(long_target ? 414 : 431, "the request's head is too long");
    return bytes.size();
  }
  const size_t size = end + kHeadEnd.size();
  RequestHead head;
  const int refusal = ParseHead(bytes.substr(0, size), &head);
  is_head_ = head.request.method == "HEAD";
  if (refusal != 0) {
    Refuse(refusal, "the request is malformed");
    return size;
  }
  request_ = std::move(head.request);
  is_1_1_ = request_.http_version == "1.1";
  keep_alive_ = head.keep_alive;
  request_id_ = SaneRequestId(request_.headers);
  if (request_id_.empty()) {
    request_id_ = connection_->core().NewRequestId();
    Set(&request_.headers, "x-request-id", request_id_);
  }
  body_left_ = head.content_length.value_or(0);
  if (body_left_ > connection_->core().options().max_body && !Streams()) {
    Refuse(413, TooLarge());
    return size;
  }
  since_ = body_since_ = NowNs();
  body_got_ = 0;
  const bool has_body = head.chunked || body_left_ != 0;
  if (!has_body) {
    state_ = State::kAnswering;
    if (!head.h2c_settings || !StartH2c(*head.h2c_settings)) Submit(false);
    return size;
  }
  state_ = head.chunked ? State::kChunks : State::kLength;
  chunks_ = {};
  if (head.expects_continue && bytes.size() == size) {
    connection_->out() += "HTTP/1.1 100 Continue\r\n\r\n";
    connection_->Flush();
  }
  if (state_ == State::kLength && Streams()) Submit(true);
  return size;
}

bool Http1::StartH2c(std::string_view settings) {
  auto h2 = Http2::Create(connection_);
  // A server may ignore an upgrade that it cannot make.
  if (!h2.ok() || !(*h2)->Upgrade(settings, std::move(request_))) return false;
  connection_->out() += kSwitching;
  connection_->Become(std::move(*h2));
  return true;
}

bool Http1::TakeBody(std::string_view bytes) {
  since_ = NowNs();
  body_got_ += bytes.size();
  if (bytes.empty()) return true;
  if (id_ != 0) {
    const uint64_t id = id_;
    if (!connection_->core().Body(id, bytes)) FailBody(503, "the gateway holds too much");
    return id_ == id;
  }
  if (!connection_->core().Charge(bytes.size())) {
    Refuse(503, "the gateway holds too much");
    return false;
  }
  charged_ += bytes.size();
  request_.body.append(bytes);
  return true;
}

size_t Http1::TakeLength(std::string_view bytes) {
  if (bytes.empty()) return 0;
  const size_t size = std::min<uint64_t>(body_left_, bytes.size());
  body_left_ -= size;
  if (TakeBody(bytes.substr(0, size)) && body_left_ == 0) EndBody();
  return size;
}

size_t Http1::TakeChunks(std::string_view bytes) {
  if (bytes.empty()) return 0;
  size_t used = 0;
  std::string piece;
  const uint64_t most = connection_->core().options().max_body - request_.body.size();
  const auto state = chunks_.Take(bytes, id_ != 0 ? ~uint64_t{0} : most, &piece, &used);
  if (state == ChunkDecoder::State::kMalformed) {
    FailBody(400, "the request's body is malformed");
  } else if (state == ChunkDecoder::State::kTooLarge) {
    FailBody(413, TooLarge());
  } else if (TakeBody(piece) && state == ChunkDecoder::State::kDone) {
    EndBody();
  }
  return used;
}

void Http1::EndBody() {
  if (id_ != 0) {
    state_ = State::kAnswering;
    return connection_->core().BodyEnd(id_);
  }
  if (state_ == State::kChunks) {
    Set(&request_.headers, "content-length", std::to_string(request_.body.size()));
  }
  Submit(false);
}

void Http1::Submit(bool body_follows) {
  Core& core = connection_->core();
  if (!body_follows) state_ = State::kAnswering;
  if (core.draining()) keep_alive_ = false;
  request_.body_follows = body_follows;
  request_.request_id = request_id_;
  request_.client = connection_->client();
  request_.server = connection_->server();
  id_ = core.Open(connection_, 0, charged_);
  charged_ = 0;
  Request request = std::move(request_);
  request_ = {};
  core.Submit(id_, std::move(request));
}

void Http1::FailBody(int status, std::string_view text) {
  if (id_ == 0) return Refuse(status, text);
  Core& core = connection_->core();
  const uint64_t id = std::exchange(id_, 0);
  const Ticket* const ticket = core.Find(id);
  const bool answered = ticket != nullptr && ticket->status != 0;
  core.Cancel(id);
  if (!answered) return Refuse(status, text);
  ++core.counters().malformed;
  BreakOff(id, 0);
}

void Http1::Refuse(int status, std::string_view text) {
  Core& core = connection_->core();
  ++core.counters().malformed;
  core.Release(charged_);
  charged_ = 0;
  keep_alive_ = false;
  is_1_1_ = true;
  state_ = State::kAnswering;
  const std::string body = ErrorBody(text, {});
  Answer(0, 0, {status, {{"content-type", "application/json"}}}, body.size());
  AnswerData(0, 0, body);
  connection_->Flush();
  connection_->Finish(true);
}

void Http1::Drain() {
  keep_alive_ = false;
  // A request that is under way is still answered; an idle connection has none.
  if (state_ == State::kHead && !head_begun_) connection_->Finish(false);
}

uint64_t Http1::Deadline() const {
  const Options& options = connection_->core().options();
  switch (state_) {
    case State::kHead:
      return since_ + Nanoseconds(head_begun_ ? options.header_limit : options.keep_alive);
    case State::kLength:
    case State::kChunks:
      // A slow function is no client's fault.
      if (id_ != 0 && connection_->core().BodyWaits(id_)) break;
      return std::min(since_, body_since_ + TimeFor(body_got_, options.body_rate)) +
             Nanoseconds(options.body_idle);
    case State::kAnswering:
      break;
  }
  return kNever;
}

void Http1::OnDeadline() {
  if (state_ == State::kHead && !head_begun_) return connection_->Finish(false);
  FailBody(408, "the request came too slowly");
}

void Http1::OnBodyTaken(uint32_t, uint64_t, bool waited) {
  if (!waited) return;
  // While the function was slow the client had no time of its own.
  since_ = body_since_ = NowNs();
  body_got_ = 0;
}

void Http1::CancelAll() {
  connection_->core().Release(charged_);
  charged_ = 0;
  if (id_ != 0) connection_->core().Cancel(id_);
}

}  // namespace usetl::gateway
