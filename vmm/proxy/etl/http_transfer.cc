#include "vmm/proxy/etl/http_transfer.h"

#include <algorithm>
#include <cstring>

#include "vmm/proxy/etl/curl_errors.h"

namespace usetl::etl {
namespace {

using abi::HttpError;

constexpr size_t kMaxDiscarded = 64 << 10;
constexpr uint64_t kMs = 1'000'000;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool IsOfConnecting(HttpError error) {
  return error == HttpError::kDenied || error == HttpError::kResolve ||
         error == HttpError::kConnect || error == HttpError::kTls;
}

void DropHeaders(std::vector<Header>* headers, std::initializer_list<std::string_view> names) {
  std::erase_if(*headers, [&](const Header& header) {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return EqualsIgnoreCase(header.name, name); });
  });
}

}  // namespace

HttpTransfer::HttpTransfer(Context* context, uint64_t id, Request request, Url url)
    : Transaction(context, id, std::move(request)),
      url_(std::move(url)),
      send_body_(body_.present()) {}

HttpTransfer* HttpTransfer::Of(CURL* easy) {
  char* self = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &self);
  return reinterpret_cast<HttpTransfer*>(self);
}

void HttpTransfer::Start() { StartHop(); }

void HttpTransfer::StartHop() {
  if (const Status allowed = context_->options.policy.CheckOrigin(url_.origin()); !allowed.ok()) {
    return Fail(HttpError::kDenied, allowed.message());
  }
  headers_.Clear();
  redirecting_ = connecting_ = paused_ = starving_ = false;
  discarded_ = 0;
  attempts_ = 0;
  denied_.clear();
  hop_started_ = last_activity_ = NowNs();
  address_list_.reset();
  const std::string& host = url_.origin().host;
  if (context_->resolver == nullptr || !context_->resolver->Knows(host)) return StartTransfer();
  lookup_ = context_->resolver->Lookup(
      url_.absolute() ? host + "." : host,
      [this](const NameResolver::Addresses& addresses) { OnAddresses(addresses); });
}

void HttpTransfer::OnAddresses(const NameResolver::Addresses& addresses) {
  lookup_ = 0;
  if (!addresses.ok()) {
    const int code = addresses.status().code();
    return Fail(code == ETIMEDOUT ? HttpError::kTimeout
                : code == EAGAIN  ? HttpError::kNoSpace
                                  : HttpError::kResolve,
                addresses.status().message());
  }
  // libcurl's name cache gets them, and forgets them after a minute.
  const Origin& origin = url_.origin();
  std::string entry = "+" + origin.host + ":" + std::to_string(origin.port) + ":";
  for (const std::string& address : *addresses) {
    if (entry.back() != ':') entry += ',';
    entry += address.find(':') == address.npos ? address : "[" + address + "]";
  }
  address_list_.reset(curl_slist_append(nullptr, entry.c_str()));
  if (address_list_ == nullptr) return Fail(HttpError::kInternal, "no memory for an address");
  StartTransfer();
}

void HttpTransfer::StartTransfer() {
  if (!SetOptions() || curl_multi_add_handle(context_->loop->multi(), easy_.get()) != CURLM_OK) {
    return Fail(HttpError::kInternal, "libcurl takes no more transfers");
  }
  running_ = true;
}

void HttpTransfer::Stop() {
  if (lookup_ != 0) context_->resolver->Cancel(lookup_);
  lookup_ = 0;
  if (running_) curl_multi_remove_handle(context_->loop->multi(), easy_.get());
  running_ = false;
  // Also gives up a resolver thread that still runs, and the pointers into both regions.
  easy_.reset();
  header_list_.reset();
}

void HttpTransfer::Resume() {
  if (!running_ || failure_) return;
  const bool still_paused = paused_ && !writer_.roomy();
  if (paused_ == still_paused && !starving_) return;
  paused_ = still_paused;
  starving_ = false;
  last_activity_ = NowNs();
  // Hands out what libcurl had kept, by the callbacks below. One direction may go on alone: a
  // guest that writes its body does not read the answer.
  const CURLcode result =
      curl_easy_pause(easy_.get(), still_paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
  if (result != CURLE_OK) OnHopDone(result);
}

uint64_t HttpTransfer::deadline() const {
  const bool waits = running_ || lookup_ != 0;
  if (Transaction::deadline() == 0 || !waits) return Transaction::deadline();
  const Limits& limits = context_->options.limits;
  uint64_t next = total_deadline_;
  if (lookup_ != 0) {
    next = std::min(next, hop_started_ + context_->resolver->patience_ns());
  } else if (!connecting_) {
    next = std::min(next, hop_started_ + limits.resolve_timeout_ms * kMs);
  } else if (!WaitsForGuest()) {
    next = std::min(next, last_activity_ + limits.idle_timeout_ms * kMs);
  }
  return next;
}

void HttpTransfer::OnTime(uint64_t now) {
  Transaction::OnTime(now);
  if (done() || (!running_ && lookup_ == 0) || now < deadline()) return;
  if (connecting_) return Fail(HttpError::kTimeout, "nothing moved for the idle timeout");
  // No socket was opened: either the name is still being looked up, or a connection is reused.
  curl_off_t began = 0;
  if (running_) curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &began);
  connecting_ = began != 0;
  last_activity_ = now;
  if (!connecting_) Fail(HttpError::kTimeout, "the name service does not answer");
}

void HttpTransfer::GiveUp(HttpError error, std::string cause) {
  if (failure_) return;
  failure_ = error;
  failure_cause_ = std::move(cause);
}

bool HttpTransfer::HasResponseBody() const {
  return request_.method != "HEAD" && headers_.status() != 204 && headers_.status() != 304;
}

bool HttpTransfer::OnHead() {
  if (IsRedirect(headers_.status()) && !request_.no_redirect &&
      !headers_.Find("Location").empty()) {
    redirecting_ = true;
    return true;
  }
  if (headers_.Contradicts("Content-Length")) {
    GiveUp(HttpError::kProtocol, "two lengths");
    return false;
  }
  std::optional<uint64_t> length;
  curl_off_t announced = -1;
  // With a transfer coding the announced length says nothing.
  if (headers_.Find("Transfer-Encoding").empty()) {
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
  }
  if (announced >= 0) length = static_cast<uint64_t>(announced);
  if (!HasResponseBody()) length = 0;
  if (length && *length > request_.max_body) {
    GiveUp(HttpError::kTooLarge, std::to_string(*length) + " bytes announced");
    return false;
  }
  const HttpError error = writer_.Begin(headers_.status(), headers_.Block(), length, mode());
  if (error != HttpError::kNone) GiveUp(error, "no room for head or body");
  return error == HttpError::kNone;
}

void HttpTransfer::OnHopDone(CURLcode result) {
  if (running_) curl_multi_remove_handle(context_->loop->multi(), easy_.get());
  running_ = false;
  if (failure_) return Fail(*failure_, failure_cause_);
  if (redirecting_ && (result == CURLE_OK || discarded_ > kMaxDiscarded)) return FollowRedirect();
  if (result != CURLE_OK || !headers_.complete()) {
    const bool denied = result == CURLE_COULDNT_CONNECT && !denied_.empty();
    HttpError error = denied ? HttpError::kDenied : ErrorOfCurl(result, headers_.complete());
    std::string cause = denied ? denied_ : error_text_;
    if (result == CURLE_SEND_FAIL_REWIND) {
      cause =
          "the server closed the connection without an answer; a streamed body cannot be sent "
          "twice";
    }
    if (cause.empty()) cause = curl_easy_strerror(result);
    // No more than a new connection failed: whoever heard that would send it again.
    if (attempts_ > 0 && !IsIdempotent() && IsOfConnecting(error)) {
      error = HttpError::kProtocol;
      cause = NotSentTwice() + " (" + cause + ")";
    }
    return Fail(error, cause);
  }
  body_.Sink();
  const HttpError error = writer_.Finish();
  if (error != HttpError::kNone) return Fail(error, "no entry for the body");
  Stop();
}

void HttpTransfer::FollowRedirect() {
  if (++hops_ > kMaxRedirects) return Fail(HttpError::kRedirects, "more than 5 redirects");
  Result<Url> target = url_.Resolve(headers_.Find("Location"));
  if (!target.ok()) return Fail(HttpError::kRedirects, "Location: " + target.status().message());
  if (url_.origin().scheme == "https" && target->origin().scheme != "https") {
    return Fail(HttpError::kRedirects, "from https to http");
  }
  const int status = headers_.status();
  const bool to_get = (status == 303 && request_.method != "HEAD") ||
                      ((status == 301 || status == 302) && request_.method == "POST");
  if (to_get) {
    request_.method = "GET";
    DropHeaders(&request_.headers,
                {"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"});
    body_.Sink();
    send_body_ = false;
  } else if (send_body_ && !body_.Rewind(0)) {
    return Fail(HttpError::kRedirects, "a streamed body cannot be sent twice");
  }
  if (target->origin() != url_.origin()) {
    DropHeaders(&request_.headers, {"Authorization", "Cookie"});
  }
  url_ = std::move(*target);
  ++context_->counters.redirects;
  StartHop();
}

size_t HttpTransfer::OnHeaderLine(char* line, size_t, size_t size, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  transfer->last_activity_ = NowNs();
  const bool was_complete = transfer->headers_.complete();
  if (!transfer->headers_.Add({line, size})) {
    transfer->GiveUp(HttpError::kTooLarge, "too many headers");
    return 0;
  }
  if (!was_complete && transfer->headers_.complete() && !transfer->OnHead()) return 0;
  return size;
}

size_t HttpTransfer::OnBodyBytes(char* bytes, size_t, size_t size, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  transfer->last_activity_ = NowNs();
  if (transfer->redirecting_) {
    transfer->discarded_ += size;
    return transfer->discarded_ > kMaxDiscarded ? 0 : size;
  }
  if (!transfer->headers_.complete() || !transfer->HasResponseBody()) {
    transfer->GiveUp(HttpError::kProtocol, "a body without a head");
    return 0;
  }
  if (transfer->writer_.bytes() + size > transfer->request_.max_body) {
    transfer->GiveUp(HttpError::kTooLarge, "the body is larger than the limit");
    return 0;
  }
  switch (transfer->writer_.Append({reinterpret_cast<uint8_t*>(bytes), size})) {
    case ResponseWriter::Write::kTaken:
      transfer->context_->counters.bytes_in += size;
      return size;
    case ResponseWriter::Write::kFull:
      transfer->writer_.Flush();
      transfer->paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    case ResponseWriter::Write::kNoSpace:
      break;
  }
  transfer->GiveUp(HttpError::kNoSpace, "the host region is full");
  return 0;
}

size_t HttpTransfer::OnReadBody(char* to, size_t, size_t size, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  transfer->last_activity_ = NowNs();
  size_t copied = 0;
  while (copied < size) {
    std::span<const uint8_t> bytes;
    const RequestBody::State state = transfer->body_.Peek(&bytes);
    if (state == RequestBody::State::kBytes) {
      const size_t part = std::min(size - copied, bytes.size());
      std::memcpy(to + copied, bytes.data(), part);
      transfer->body_.Use(part);
      copied += part;
      continue;
    }
    if (copied != 0 || state == RequestBody::State::kEnd) break;
    if (state == RequestBody::State::kWait) {
      transfer->starving_ = true;
      return CURL_READFUNC_PAUSE;
    }
    transfer->GiveUp(HttpError::kBadRequest, state == RequestBody::State::kTooLarge
                                                 ? "the body is larger than the limit"
                                                 : "the body is not as long as announced");
    return CURL_READFUNC_ABORT;
  }
  transfer->context_->counters.bytes_out += copied;
  return copied;
}

int HttpTransfer::OnSeek(void* self, curl_off_t offset, int origin) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  const bool done =
      origin == SEEK_SET && offset >= 0 && transfer->body_.Rewind(static_cast<uint64_t>(offset));
  return done ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

}  // namespace usetl::etl
