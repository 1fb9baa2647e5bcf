#include "vmm/proxy/gateway/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "vmm/proxy/gateway/answer_text.h"
#include "vmm/proxy/gateway/request_check.h"

namespace usetl::gateway {

namespace http = boost::beast::http;

namespace {

constexpr size_t kReadSize = 16 << 10;
constexpr size_t kKeptBuffer = 64 << 10;  // of an idle connection

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

pod::Endpoint ToEndpoint(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return {text, ntohs(four.sin_port)};
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
    inet_ntop(AF_INET, six.sin6_addr.s6_addr + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  }
  return {text, ntohs(six.sin6_port)};
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace

// The backend's hold on a connection, which may be gone when the answer comes.
class Answer final : public pod::AnswerSink {
 public:
  explicit Answer(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
  void OnHead(const pod::AnswerHead& head, std::optional<uint64_t> size) override {
    if (const auto connection = connection_.lock()) connection->BeginAnswer(head, size);
  }
  void OnData(std::string_view bytes) override {
    if (const auto connection = connection_.lock()) connection->AddBody(bytes);
  }
  void OnEnd(const Status& status) override {
    if (const auto connection = connection_.lock()) connection->EndAnswer(status);
  }

 private:
  const std::weak_ptr<Connection> connection_;
};

Connection::Connection(Server* server, Fd fd) : server_(server), fd_(std::move(fd)) {
  const int on = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // slower without, no more
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    client_ = ToEndpoint(address);
  }
  size = sizeof address;
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    here_ = ToEndpoint(address);
  }
  SetDeadline(server_->limits_.header_time);
}

void Connection::SetDeadline(std::chrono::seconds from_now) {
  deadline_ = Clock::now() + from_now;
  server_->next_check_ = std::min(server_->next_check_, deadline_);
}

void Connection::OnReadable() {
  // One read per turn: a client that sends faster than we parse must not keep the others waiting.
  const size_t before = in_.size();
  in_.resize(before + kReadSize);
  const ssize_t count = recv(fd_.get(), in_.data() + before, kReadSize, MSG_DONTWAIT);
  in_.resize(before + std::max<ssize_t>(count, 0));
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) return server_->Close(fd());
  if (count == 0) {
    ended_ = true;
    // It may have closed only its side, and wait for the answer.
    if (state_ != State::kAnswering) return server_->Close(fd());
    return server_->Watch(this, writing_);
  }
  if (state_ == State::kClosing) return in_.clear();
  if (state_ == State::kAnswering && in_.size() > kKeptBuffer) {
    paused_ = true;
    return server_->Watch(this, writing_);
  }
  if (before == 0 && state_ == State::kReading && !parser_) {
    SetDeadline(server_->limits_.header_time);
  }
  GoOn();
}

void Connection::GoOn() {
  if (state_ != State::kReading) return;
  if (paused_) {
    paused_ = false;
    server_->Watch(this, writing_);
  }
  while (state_ == State::kReading && ParseRequest()) Submit();
  if (state_ == State::kReading && ended_) return server_->Close(fd());
}

bool Connection::ParseRequest() {
  if (!parser_ && !ParseHeader()) return false;
  return ParseBody();
}

bool Connection::ParseHeader() {
  // Empty lines before a request are skipped (RFC 9112, section 2.2).
  while (in_.starts_with("\r\n")) in_.erase(0, 2);
  const size_t end = in_.find("\r\n\r\n");
  const size_t most = server_->limits_.header_bytes;
  if (end == in_.npos ? in_.size() > most : end > most) {
    Refuse(431, "the header is too long");
    return false;
  }
  if (end == in_.npos) return false;
  const size_t size = end + 4;
  const std::string_view block = std::string_view(in_).substr(0, size);
  if (!IsCleanHeader(block)) {
    Refuse(400, "malformed header");
    return false;
  }
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<uint32_t>(most + 8));
  parser_->body_limit(server_->limits_.body_bytes);
  boost::system::error_code error;
  const size_t used = parser_->put(boost::asio::const_buffer(block.data(), block.size()), error);
  if (error == http::error::body_limit) {
    Refuse(413, "the body is too long");
    return false;
  }
  if ((error && error != http::error::need_more) || !parser_->is_header_done()) {
    Refuse(400, "malformed request");
    return false;
  }
  in_.erase(0, used);
  return CheckHeader();
}

bool Connection::CheckHeader() {
  const auto& request = parser_->get();
  const auto fields = std::distance(request.begin(), request.end());
  const std::string_view coding = View(request[http::field::transfer_encoding]);
  const std::string_view expect = View(request[http::field::expect]);
  if (request.target().size() > server_->limits_.target_bytes) {
    Refuse(414, "the target is too long");
  } else if (static_cast<size_t>(fields) > server_->limits_.fields) {
    Refuse(431, "too many header fields");
  } else if (request.version() != 10 && request.version() != 11) {
    Refuse(505, "HTTP/1.1 is spoken here");
  } else if (request.count(http::field::host) > 1 ||
             (request.version() == 11 && request.count(http::field::host) == 0)) {
    Refuse(400, "one Host field is wanted");
  } else if (!coding.empty() && LowerCase(coding) != "chunked") {
    Refuse(501, "no transfer coding but chunked");
  } else if (!expect.empty() && LowerCase(expect) != "100-continue") {
    Refuse(417, "nothing can be expected but 100-continue");
  } else if (request.method() == http::verb::connect || request.target().empty()) {
    Refuse(400, "not a proxy");
  } else {
    continued_ = expect.empty() || request.version() == 10;
    return true;
  }
  return false;
}

bool Connection::ParseBody() {
  while (!parser_->is_done() && !in_.empty()) {
    boost::system::error_code error;
    const size_t used = parser_->put(boost::asio::const_buffer(in_.data(), in_.size()), error);
    in_.erase(0, used);
    if (error == http::error::need_more || (!error && used > 0)) {
      if (error) break;
      continue;
    }
    const bool too_long = error == http::error::body_limit;
    Refuse(too_long ? 413 : 400, too_long ? "the body is too long" : "malformed body");
    return false;
  }
  if (parser_->is_done()) return true;
  if (!continued_) {
    continued_ = true;
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    Flush();
  }
  if (in_.size() > server_->limits_.header_bytes) {
    Refuse(400, "malformed body");  // a chunk's size line without an end
    return false;
  }
  SetDeadline(server_->limits_.body_pause);
  return false;
}

void Connection::Submit() {
  auto request = parser_->release();
  parser_.reset();
  pod::HttpCall call;
  call.method = std::string(View(request.method_string()));
  std::string_view target = View(request.target());
  // An absolute target is that of a request to a proxy; its path is what counts here.
  if (const size_t scheme = target.find("://"); scheme != target.npos && target[0] != '/') {
    const size_t path = target.find('/', scheme + 3);
    target = path == target.npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  call.path = std::string(target.substr(0, question));
  if (question != target.npos) call.query = std::string(target.substr(question + 1));
  is_head_ = request.method() == http::verb::head;
  keep_alive_ = request.keep_alive();
  old_ = request.version() == 10;
  call.http_version = old_ ? "1.0" : "1.1";
  request_id_ = RequestId(View(request["X-Request-Id"]));
  call.request_id = request_id_;
  for (const auto& field : request) {
    std::string name = LowerCase(View(field.name_string()));
    const bool of_connection = name == "connection" || name == "keep-alive" || name == "te" ||
                               name == "trailer" || name == "transfer-encoding" ||
                               name == "upgrade" || name == "proxy-connection" || name == "expect";
    if (of_connection || name == "x-request-id") continue;
    call.headers.emplace_back(std::move(name), std::string(View(field.value())));
  }
  call.headers.emplace_back("x-request-id", request_id_);
  call.body = std::move(request.body());
  call.client = client_;
  call.server = here_;
  state_ = State::kAnswering;
  deadline_ = Clock::time_point::max();  // the function's time is the backend's business
  const uint64_t number =
      server_->backend_.submit(std::move(call), std::make_unique<Answer>(weak_from_this()));
  if (state_ == State::kAnswering) number_ = number;
}

void Connection::BeginAnswer(const pod::AnswerHead& head, std::optional<uint64_t> size) {
  bodiless_ = is_head_ || head.status == 204 || head.status == 304;
  chunked_ = !size && !old_ && !bodiless_;
  if (!size && old_ && !bodiless_) keep_alive_ = false;  // its end is the connection's
  if (server_->draining_) keep_alive_ = false;
  AppendHead({head.status, &head.headers, size, chunked_, is_head_, keep_alive_, old_, request_id_},
             &out_);
}

void Connection::AddBody(std::string_view bytes) {
  if (bodiless_ || bytes.empty() || state_ != State::kAnswering) return;
  if (chunked_) AppendChunkSize(bytes.size(), &out_);
  out_ += bytes;
  if (chunked_) out_ += "\r\n";
  Flush();
}

void Connection::EndAnswer(const Status& status) {
  if (state_ != State::kAnswering) return;
  number_.reset();
  if (!status.ok()) {
    // Cut off, so that the client sees that the answer is not whole.
    keep_alive_ = false;
  } else if (chunked_) {
    out_ += "0\r\n\r\n";
  }
  chunked_ = false;
  state_ = keep_alive_ ? State::kReading : State::kClosing;
  SetDeadline(unsent() > 0 ? server_->limits_.write_pause : server_->limits_.idle_time);
  Flush();
  if (in_.empty() && in_.capacity() > kKeptBuffer) std::string().swap(in_);
  server_->turn_.push_back(weak_from_this());
}

void Connection::Refuse(int status, std::string_view text) {
  parser_.reset();
  in_.clear();
  is_head_ = old_ = false;
  keep_alive_ = false;
  const pod::Headers headers = {{"content-type", "text/plain; charset=utf-8"}};
  const std::string body = std::string(text) + "\n";
  AppendHead({status, &headers, body.size(), false, false, false, false, RequestId("")}, &out_);
  out_ += body;
  state_ = State::kClosing;
  SetDeadline(server_->limits_.write_pause);
  Flush();
}

void Connection::Flush() {
  while (sent_ < out_.size()) {
    const ssize_t count =
        send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) {
      // Nobody is there to read; the rest follows when the loop comes around.
      out_.clear();
      sent_ = 0;
      keep_alive_ = false;
      if (state_ == State::kReading) state_ = State::kClosing;
      break;
    }
    if (count < 0) break;
    sent_ += count;
    if (state_ != State::kReading) SetDeadline(server_->limits_.write_pause);
  }
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
    if (out_.capacity() > kKeptBuffer) std::string().swap(out_);
    if (state_ == State::kAnswering) deadline_ = Clock::time_point::max();
  }
  const bool write = sent_ < out_.size();
  if (write != writing_) {
    writing_ = write;
    server_->Watch(this, write);
  }
  if (state_ == State::kClosing && !write) {
    // In order: the client reads what was sent before it sees the end.
    shutdown(fd_.get(), SHUT_WR);
    constexpr std::chrono::seconds kLinger{2};
    SetDeadline(kLinger);
  }
}

void Connection::OnWritable() {
  Flush();
  if (state_ == State::kReading) server_->turn_.push_back(weak_from_this());
}

void Connection::OnDeadline() {
  const bool in_request = parser_.has_value() || !in_.empty();
  if (state_ == State::kReading && in_request && unsent() == 0) {
    return Refuse(408, "the request did not come in time");
  }
  server_->Close(fd());
}

void Connection::Abort() {
  state_ = State::kClosing;
  if (number_) server_->backend_.cancel(*number_);
  number_.reset();
  fd_.Reset();
}

}  // namespace usetl::gateway
