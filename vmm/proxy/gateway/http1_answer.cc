// http1_answer.cc: how an answer is framed and sent.
#include <charconv>
#include <utility>

#include "vmm/proxy/gateway/header_rules.h"
#include "vmm/proxy/gateway/http1.h"

namespace usetl::gateway {
namespace {

// Data up to this joins the head in one buffer; more is sent from where it is.
constexpr size_t kMaxCopied = 16 << 10;

void AppendNumber(std::string* to, uint64_t value, int base = 10) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  to->append(digits, end);
}

}  // namespace

void Http1::Answer(uint64_t, uint32_t, AnswerHead head, std::optional<uint64_t> size) {
  std::string& out = connection_->out();
  const bool no_body = head.status == 204 || head.status == 304;
  if (no_body || is_head_) {
    framing_ = Framing::kNone;
  } else {
    framing_ = size ? Framing::kLength : is_1_1_ ? Framing::kChunked : Framing::kUntilClose;
  }
  answer_left_ = size.value_or(0);
  // What is still to come of an answered request is not told from the next one. A streamed answer
  // may end behind it: clients that talk both ways would take "close" for the end.
  if (framing_ == Framing::kUntilClose || (size && IsInBody())) keep_alive_ = false;

  out += "HTTP/1.1 ";
  AppendNumber(&out, static_cast<uint64_t>(head.status));
  out += ' ';
  out += ReasonOf(head.status);
  out += "\r\n";
  bool dated = false;
  for (const auto& [name, value] : head.headers) {
    if (IsGatewaysOwn(name) || !IsHeaderName(name) || !IsHeaderValue(value)) continue;
    if (name == "date") dated = true;
    out.append(name).append(": ").append(value).append("\r\n");
  }
  if (size && !no_body) {
    out += "content-length: ";
    AppendNumber(&out, *size);
    out += "\r\n";
  }
  if (framing_ == Framing::kChunked) out += "transfer-encoding: chunked\r\n";
  if (!request_id_.empty()) out.append("x-request-id: ").append(request_id_).append("\r\n");
  if (!dated) out.append("date: ").append(connection_->core().Date()).append("\r\n");
  if (!keep_alive_) {
    out += "connection: close\r\n";
  } else if (!is_1_1_) {
    out += "connection: keep-alive\r\n";
  }
  out += "\r\n";
  // The client of a stream may want to know its head long before the first data.
  if (!size) connection_->Flush();
}

bool Http1::AnswerData(uint64_t, uint32_t, std::string_view bytes) {
  if (bytes.empty() || framing_ == Framing::kNone) return true;
  std::string& out = connection_->out();
  if (framing_ == Framing::kLength) {
    // More than was promised would be read as the next answer.
    bytes = bytes.substr(0, answer_left_);
    answer_left_ -= bytes.size();
    if (bytes.size() <= kMaxCopied && connection_->unsent() <= kMaxCopied) {
      out += bytes;
    } else {
      connection_->Flush(bytes);
    }
  } else if (framing_ == Framing::kChunked) {
    AppendNumber(&out, bytes.size(), 16);
    out += "\r\n";
    if (bytes.size() <= kMaxCopied) {
      out += bytes;
      out += "\r\n";
      connection_->Flush();
    } else {
      connection_->Flush(bytes);
      out += "\r\n";
    }
  } else {
    connection_->Flush(bytes);
  }
  return connection_->unsent() < kHighWater;
}

void Http1::AnswerEnd(uint64_t id, uint32_t stream) {
  if (framing_ == Framing::kLength && answer_left_ != 0) return BreakOff(id, stream);
  if (framing_ == Framing::kChunked) connection_->out() += "0\r\n\r\n";
  id_ = 0;
  if (IsInBody()) keep_alive_ = false;
  state_ = State::kHead;
  since_ = NowNs();
  if (!keep_alive_) {
    connection_->Flush();
    return connection_->Finish(true);
  }
  connection_->Flush();
  sending_ = connection_->unsent() != 0;
  // Pipelined requests have their turn from OnReady().
  if (connection_->has_input()) connection_->core().Defer(connection_);
}

void Http1::BreakOff(uint64_t, uint32_t) {
  id_ = 0;
  if (framing_ == Framing::kUntilClose) return connection_->Reset();
  // Whatever was sent stays incomplete, as the client can see.
  connection_->Flush();
  connection_->Finish(false);
}

void Http1::OnSent() {
  if (id_ != 0) connection_->core().Room(id_);
  // Idle from here on.
  if (std::exchange(sending_, false) && state_ == State::kHead) since_ = NowNs();
}

}  // namespace usetl::gateway
