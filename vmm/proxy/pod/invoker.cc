#include "vmm/proxy/pod/invoker.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmm/proxy/gateway/answer_record.h"
#include "vmm/proxy/gateway/request_record.h"

namespace usetl::pod {
namespace {

constexpr size_t kMaxInline = 8 << 10;  // of a body within the record, whatever it becomes there
constexpr size_t kMaxPayload = abi::kMaxRecord - sizeof(abi::RecordHeader);
// Requests that the function has at once. Most of what there is to gain is gained with 4; whoever
// leaves meanwhile is served in vain.
constexpr size_t kMostGiven = 4;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Invoker::~Invoker() { Abandon(Status(ECANCELED, "the container ends"), false); }

void Invoker::Refuse(AnswerSink* sink, int status, std::string_view text) {
  if (sink == nullptr) return;
  sink->OnHead({status, {{"content-type", "text/plain; charset=utf-8"}}}, text.size());
  sink->OnData(text);
  sink->OnEnd(Status());
}

uint64_t Invoker::Invoke(HttpCall call, std::unique_ptr<AnswerSink> sink) {
  const uint64_t number = ++last_number_;
  if (closed_) {
    Refuse(sink.get(), 503, "the function ends\n");
  } else if (waiting_.size() >= options_.queue) {
    Refuse(sink.get(), 503, "too many requests wait for the function\n");
  } else {
    Request& request = waiting_.emplace_back();
    request.number = number;
    request.streams = call.body_follows;
    if (request.streams) request.body = std::exchange(call.body, std::string());
    request.call = std::move(call);
    request.sink = std::move(sink);
    Turn();
  }
  return number;
}

void Invoker::Cancel(uint64_t number) {
  const auto same = [number](const Request& request) { return request.number == number; };
  if (const auto found = std::ranges::find_if(given_, same); found != given_.end()) {
    found->sink.reset();
    // The function may wait for the rest.
    if (found->end == Request::End::kNone) found->end = Request::End::kBroken;
    SendBody();
    return;
  }
  std::erase_if(waiting_, same);
}

Invoker::Request* Invoker::Find(uint64_t number) {
  for (std::deque<Request>* requests : {&given_, &waiting_}) {
    const auto found = std::ranges::find(*requests, number, &Request::number);
    if (found != requests->end()) return &*found;
  }
  return nullptr;
}

void Invoker::Body(uint64_t number, std::string_view bytes) {
  Request* const request = Find(number);
  if (request == nullptr) return;  // answered meanwhile
  request->body.append(bytes);
  SendBody();
}

void Invoker::BodyEnd(uint64_t number) {
  Request* const request = Find(number);
  if (request == nullptr) return;
  request->end = Request::End::kComplete;
  SendBody();
}

void Invoker::SendBody() {
  if (given_.empty() || !given_.front().streams || !record_.empty() || body_ended_) return;
  Request& request = given_.front();
  std::string& body = request.body;
  const bool broken = request.end == Request::End::kBroken;
  size_t sent = 0;
  while (!broken && sent < body.size() && body_sent_ < abi::kBodyWindow) {
    const std::string_view piece = std::string_view(body).substr(
        sent, std::min(abi::kMaxBodyData, abi::kBodyWindow - body_sent_));
    if (!usf_.post(abi::RecordType::kBodyData, request.number, piece)) break;
    sent += piece.size();
    body_sent_ += static_cast<uint32_t>(piece.size());
  }
  body.erase(0, sent);
  if (request.end == Request::End::kNone || (!broken && !body.empty())) return;
  const abi::BodyEnd end{broken, 0};
  const std::string_view payload(reinterpret_cast<const char*>(&end), sizeof end);
  body_ended_ = usf_.post(abi::RecordType::kBodyEnd, request.number, payload);
}

Status Invoker::OnBodyTaken(std::span<const uint8_t> payload) {
  abi::BodyTaken taken;
  if (payload.size() != sizeof taken) return Status(EPROTO, "a short record about a body");
  std::memcpy(&taken, payload.data(), sizeof taken);
  if (taken.bytes > body_sent_)
    return Status(EPROTO, "the guest took more of a body than there is");
  body_sent_ -= taken.bytes;
  if (given_.front().sink != nullptr) given_.front().sink->OnBodyTaken(taken.bytes);
  SendBody();
  return Status();
}

Result<std::string> Invoker::Encode(const HttpCall& call) {
  gateway::RecordOptions options{};
  options.max_size = kMaxPayload;
  std::string body_path;
  if (call.body.size() > kMaxInline) {
    Result<BodyCursor> cursor = usf_.region->Reserve(call.body.size());
    if (!cursor.ok()) return cursor.status();
    USETL_RETURN_IF_ERROR(cursor->Append(AsBytes(call.body)));
    Result<PublishedBody> body = cursor->Publish();
    if (!body.ok()) return body.status();
    body_ = body->entry;
    body_path = "/run/usetl/body/" + std::to_string(body->entry);
    options.body_path = body_path;
  }
  if (options_.timeout.count() != 0) {
    const std::chrono::duration<double> end = (Clock::now() + options_.timeout).time_since_epoch();
    options.deadline = end.count();
  }
  if (!given_.empty()) options.unread = given_.front().number;
  std::string record;
  const Status written = gateway::WriteRequestRecord(call, options, &record);
  if (!written.ok()) return written;
  return record;
}

bool Invoker::Request::alone() const { return streams || call.body.size() > kMaxInline; }

bool Invoker::MayGive() const {
  if (waiting_.empty() || !record_.empty()) return false;
  if (given_.empty()) return true;
  return options_.timeout.count() == 0 && quick_ && given_.size() < kMostGiven && !body_ &&
         !given_.front().streams && !waiting_.front().alone();
}

void Invoker::EncodeNext() {
  Request request = std::move(waiting_.front());
  waiting_.pop_front();
  Result<std::string> record = Encode(request.call);
  if (!record.ok()) {
    const bool headers = record.status().code() == E2BIG;
    Refuse(request.sink.get(), headers ? 431 : 413, record.status().message() + "\n");
    return ReleaseBody();
  }
  record_ = std::move(*record);
  request.call = {};
  given_.push_back(std::move(request));
}

void Invoker::Turn() {
  if (lost_) return;
  while (!record_.empty() || MayGive()) {
    if (record_.empty()) EncodeNext();
    if (record_.empty()) continue;  // it was refused
    if (!usf_.post(abi::RecordType::kInvoke, given_.back().number, record_)) return;
    std::string().swap(record_);
    if (given_.size() == 1) begun_ = Clock::now();
    if (options_.timeout.count() != 0) deadline_ = begun_ + options_.timeout;
  }
  SendBody();
}

void Invoker::Finish(const Status& status) {
  if (given_.front().sink != nullptr) given_.front().sink->OnEnd(status);
  given_.pop_front();
  const auto now = Clock::now();
  // Answers in files that nobody has read yet fill the guest region.
  quick_ = !large_ && now - begun_ < options_.quick;
  begun_ = now;
  deadline_.reset();
  head_sent_ = body_ended_ = large_ = false;
  body_sent_ = 0;
  ReleaseBody();  // nothing of the function looks at the body of a request that it has answered
}

void Invoker::ReleaseBody() {
  if (body_) usf_.region->Release(*body_);
  body_.reset();
}

Status Invoker::TakeBody(const std::string& path, std::string* body) const {
  Result<std::span<const uint8_t>> file = usf_.guest->FindFile(path);
  if (!file.ok()) return file.status();
  if (file->size() > options_.max_body) {
    return Status(EFBIG, "the function's answer exceeds " +
                             std::to_string(options_.max_body >> 20) + " MB; stream it");
  }
  // The guest may still write there: one copy, then only the copy counts.
  body->assign(file->begin(), file->end());
  return Status();
}

void Invoker::Fail(std::string_view report) {
  usf_.log(report);
  if (head_sent_) return Finish(Status(EIO, "the function failed in the midst of its answer"));
  Refuse(given_.front().sink.get(), 500, "the function failed; its log says why\n");
  given_.front().sink.reset();
  Finish(Status());
}

void Invoker::OnResult(std::string_view text) {
  Result<Reply> reply = ParseReply(text);
  if (!reply.ok()) return Fail(reply.status().message());
  if (!reply->ok) {
    const std::string memory = reply->out_of_memory ? usf_.memory() : "";
    Fail(reply->report);
    if (!memory.empty()) usf_.log("usetl: " + memory);
    return;
  }
  if (head_sent_ != reply->streamed || head_sent_ == reply->head.has_value()) {
    return Fail("the function's answer is neither whole nor streamed");
  }
  large_ = !reply->body_path.empty();
  if (large_) {
    const Status taken = TakeBody(reply->body_path, &reply->body);
    if (!taken.ok()) return Fail(taken.message());
  }
  if (reply->head && given_.front().sink != nullptr) {
    given_.front().sink->OnHead(*reply->head, reply->body.size());
    if (!reply->body.empty()) given_.front().sink->OnData(reply->body);
  }
  Finish(Status());
}

void Invoker::OnHead(std::string_view text) {
  Result<AnswerHead> head = gateway::ParseAnswerHead(text);
  if (!head.ok()) {
    // The function may go on sending; nobody listens.
    usf_.log(head.status().message());
    Refuse(given_.front().sink.get(), 500, "the function failed; its log says why\n");
    given_.front().sink.reset();
  }
  head_sent_ = true;
  if (given_.front().sink != nullptr) given_.front().sink->OnHead(*head, std::nullopt);
}

Status Invoker::OnRecord(abi::RecordType type, uint64_t id, std::span<const uint8_t> payload) {
  const bool posted = given_.size() > (record_.empty() ? 0 : 1);
  if (!posted || id != given_.front().number) {
    return Status(EPROTO, "the guest answered what nobody asked");
  }
  const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
  switch (type) {
    case abi::RecordType::kResult:
      OnResult(text);
      Turn();
      return Status();
    case abi::RecordType::kAnswerHead:
      if (head_sent_) return Status(EPROTO, "the guest began an answer twice");
      OnHead(text);
      return Status();
    case abi::RecordType::kAnswerData:
      if (!head_sent_) return Status(EPROTO, "the guest sent a body without a head");
      if (given_.front().sink != nullptr) given_.front().sink->OnData(text);
      return Status();
    case abi::RecordType::kBodyTaken:
      return OnBodyTaken(payload);
    default:
      return Status(EPROTO, "not a record of an answer");
  }
}

void Invoker::Lose(Request* request, const Status& why) {
  Refuse(request->sink.get(), why.code() == ETIMEDOUT ? 504 : 502, "the function was lost\n");
  request->sink.reset();
}

void Invoker::Abandon(const Status& why, bool drained) {
  closed_ = true;
  // One that was not posted only waited.
  const auto posted = given_.end() - (record_.empty() ? 0 : 1);
  for (auto request = given_.begin(); request != posted; ++request) {
    const bool first = request == given_.begin();
    if (first ? !head_sent_ : !drained) Lose(&*request, why);
  }
  if (posted != given_.begin()) Finish(why);
  for (std::deque<Request>* requests : {&given_, &waiting_}) {
    for (Request& request : *requests) Refuse(request.sink.get(), 503, "the function ends\n");
    requests->clear();
  }
  record_.clear();
}

}  // namespace usetl::pod
