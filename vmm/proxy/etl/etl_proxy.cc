#include "vmm/proxy/etl/etl_proxy.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cstring>

#include "vmm/proxy/etl/transaction.h"

namespace usetl {

Result<std::unique_ptr<EtlProxy>> EtlProxy::Create(Policy policy, EtlLimits limits,
                                                   HostRegion* region,
                                                   std::span<const uint8_t> guest_region,
                                                   Post post, Audit audit) {
  std::unique_ptr<EtlProxy> proxy(new EtlProxy);
  proxy->policy_ = std::move(policy);
  proxy->limits_ = limits;
  proxy->region_ = region;
  proxy->guest_region_ = guest_region;
  proxy->post_ = std::move(post);
  proxy->audit_ = std::move(audit);
  proxy->epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  proxy->timer_ = Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!proxy->epoll_.ok() || !proxy->timer_.ok()) return Status::Errno("epoll for the proxy");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = proxy->timer_.get();
  if (epoll_ctl(proxy->epoll_.get(), EPOLL_CTL_ADD, proxy->timer_.get(), &event) != 0) {
    return Status::Errno("epoll_ctl");
  }
  proxy->multi_ = curl_multi_init();
  if (proxy->multi_ == nullptr) return Status(ENOMEM, "curl_multi_init failed");
  curl_multi_setopt(proxy->multi_, CURLMOPT_SOCKETFUNCTION, OnSocket);
  curl_multi_setopt(proxy->multi_, CURLMOPT_SOCKETDATA, proxy.get());
  curl_multi_setopt(proxy->multi_, CURLMOPT_TIMERFUNCTION, OnTimer);
  curl_multi_setopt(proxy->multi_, CURLMOPT_TIMERDATA, proxy.get());
  return proxy;
}

EtlProxy::~EtlProxy() {
  while (!transactions_.empty()) Forget(transactions_.begin()->first);
  if (multi_ != nullptr) curl_multi_cleanup(multi_);
}

int EtlProxy::OnSocket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto* proxy = static_cast<EtlProxy*>(self);
  epoll_event event{};
  event.data.fd = socket;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(proxy->epoll_.get(), EPOLL_CTL_DEL, socket, nullptr);
    return 0;
  }
  if (what & CURL_POLL_IN) event.events |= EPOLLIN;
  if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
  if (epoll_ctl(proxy->epoll_.get(), EPOLL_CTL_MOD, socket, &event) != 0 &&
      epoll_ctl(proxy->epoll_.get(), EPOLL_CTL_ADD, socket, &event) != 0) {
    return -1;
  }
  return 0;
}

int EtlProxy::OnTimer(CURLM*, long milliseconds, void* self) {
  itimerspec spec{};
  if (milliseconds >= 0) {
    spec.it_value.tv_sec = milliseconds / 1000;
    spec.it_value.tv_nsec = milliseconds % 1000 * 1'000'000;
    if (milliseconds == 0) spec.it_value.tv_nsec = 1;
  }
  return timerfd_settime(static_cast<EtlProxy*>(self)->timer_.get(), 0, &spec, nullptr);
}

void EtlProxy::OnReady() {
  epoll_event events[32];
  const int count = epoll_wait(epoll_.get(), events, 32, 0);
  int running = 0;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == timer_.get()) {
      uint64_t expirations;
      (void)!read(timer_.get(), &expirations, sizeof expirations);  // EAGAIN: re-armed meanwhile
      curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
      continue;
    }
    int mask = 0;
    if (events[i].events & (EPOLLIN | EPOLLHUP)) mask |= CURL_CSELECT_IN;
    if (events[i].events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
    if (events[i].events & EPOLLERR) mask |= CURL_CSELECT_ERR;
    curl_multi_socket_action(multi_, events[i].data.fd, mask, &running);
  }
  CollectFinished();
  while (!pending_.empty()) {
    const PendingRecord& p = pending_.front();
    const auto bytes = [](const std::string& s) {
      return std::span(reinterpret_cast<const uint8_t*>(s.data()), s.size());
    };
    if (!post_(p.type, p.id, bytes(p.head), bytes(p.tail))) return;
    pending_.erase(pending_.begin());
  }
}

void EtlProxy::CollectFinished() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transaction* t = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
    Finish(t, message->data.result);
  }
}

void EtlProxy::Send(abi::RecordType type, uint64_t id, const void* head, size_t head_size,
                    std::string_view tail) {
  const std::span head_bytes(static_cast<const uint8_t*>(head), head_size);
  const std::span tail_bytes(reinterpret_cast<const uint8_t*>(tail.data()), tail.size());
  if (pending_.empty() && post_(type, id, head_bytes, tail_bytes)) return;
  pending_.push_back({type, id, std::string(reinterpret_cast<const char*>(head), head_size),
                      std::string(tail)});
}

Status EtlProxy::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<abi::RecordType>(header.type);
  const auto it = transactions_.find(header.id);
  Transaction* t = it == transactions_.end() ? nullptr : it->second.get();
  switch (type) {
    case abi::RecordType::kHttpRequest:
      if (t != nullptr) return Status(EPROTO, "the guest reused the number of a transaction");
      return Begin(header.id, payload);
    case abi::RecordType::kHttpCancel:
      if (t != nullptr) Fail(t, abi::HttpError::kCancelled, "cancelled", "cancelled by the function");
      return Status();
    case abi::RecordType::kRelease: {
      abi::HostRegionEntry entry;
      if (payload.size() != sizeof entry) return Status(EPROTO, "a malformed release");
      std::memcpy(&entry, payload.data(), sizeof entry);
      region_->Release(entry.entry);
      return Status();
    }
    case abi::RecordType::kHttpBody: {
      abi::HttpSpan span;
      if (payload.size() != sizeof span) return Status(EPROTO, "a malformed piece of a body");
      std::memcpy(&span, payload.data(), sizeof span);
      if (span.offset > guest_region_.size() || span.size > guest_region_.size() - span.offset) {
        return Status(EPROTO, "a piece of a body lies outside of the guest region");
      }
      if (t == nullptr || !t->streaming) return Status();  // crossed the end of the transaction
      if (t->streamed.size() + span.size > limits_.max_streamed_request) {
        Fail(t, abi::HttpError::kTooLarge, "the streamed body is too large", "body limit");
        return Status();
      }
      t->streamed.append(reinterpret_cast<const char*>(guest_region_.data() + span.offset), span.size);
      Send(abi::RecordType::kHttpDone, t->id, &span, sizeof span, {});
      return Status();
    }
    case abi::RecordType::kHttpBodyEnd:
      if (t == nullptr || !t->streaming) return Status();
      t->streaming = false;
      t->body = {reinterpret_cast<const uint8_t*>(t->streamed.data()), t->streamed.size()};
      Start(t);
      return Status();
    case abi::RecordType::kHttpConsumed:
      return Status();
    default:
      return Status(EPROTO, "the guest sent a record of an unknown type");
  }
}

Status EtlProxy::Begin(uint64_t id, std::span<const uint8_t> payload) {
  const Status broken(EPROTO, "the guest sent a malformed request");
  abi::HttpRequest request;
  if (payload.size() < sizeof request) return broken;
  std::memcpy(&request, payload.data(), sizeof request);
  std::span<const uint8_t> rest = payload.subspan(sizeof request);
  const auto take = [&](uint32_t size, std::string* to) {
    if (size > rest.size()) return false;
    to->assign(reinterpret_cast<const char*>(rest.data()), size);
    rest = rest.subspan(size);
    return true;
  };
  auto owned = std::make_unique<Transaction>();
  Transaction* t = owned.get();
  std::string block;
  if (!take(request.method_size, &t->method) || !take(request.url_size, &t->url) ||
      !take(request.headers_size, &block)) {
    return broken;
  }
  t->proxy = this;
  t->id = id;
  t->follow = !(request.flags & abi::kHttpNoRedirect);
  t->timeout_ms = request.timeout_ms == 0 ? limits_.timeout_ms
                                          : std::min(request.timeout_ms, limits_.timeout_ms);
  t->max_body = request.max_body == 0 ? limits_.max_body
                                      : std::min(request.max_body, limits_.max_body);
  ++counters_.requests;
  transactions_[id] = std::move(owned);
  if (transactions_.size() > limits_.max_transactions) {
    Fail(t, abi::HttpError::kBadRequest, "too many requests at once", "transaction limit");
    return Status();
  }
  const bool method_ok = !t->method.empty() && t->method.size() <= 32 &&
                         std::all_of(t->method.begin(), t->method.end(),
                                     [](char c) { return c >= 'A' && c <= 'Z'; });
  const Status headers = ParseRequestHeaders(block, &t->headers);
  if (!method_ok || !headers.ok()) {
    Fail(t, abi::HttpError::kBadRequest, "the method or a header is malformed", "bad request");
    return Status();
  }
  switch (request.body) {
    case abi::BodyKind::kNone:
      break;
    case abi::BodyKind::kInline:
      t->streamed.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
      t->body = {reinterpret_cast<const uint8_t*>(t->streamed.data()), t->streamed.size()};
      t->has_body = true;
      break;
    case abi::BodyKind::kRegion:
      if (request.body_offset > guest_region_.size() ||
          request.body_size > guest_region_.size() - request.body_offset) {
        return Status(EPROTO, "a request's body lies outside of the guest region");
      }
      t->body = guest_region_.subspan(request.body_offset, request.body_size);
      t->has_body = true;
      break;
    case abi::BodyKind::kStream:
      t->has_body = t->streaming = true;
      return Status();  // starts with kHttpBodyEnd
    default:
      return broken;
  }
  Start(t);
  return Status();
}

void EtlProxy::Forget(uint64_t id) {
  const auto it = transactions_.find(id);
  if (it == transactions_.end()) return;
  Transaction& t = *it->second;
  if (t.easy != nullptr) {
    curl_multi_remove_handle(multi_, t.easy);
    curl_easy_cleanup(t.easy);
  }
  curl_slist_free_all(t.list);
  region_->Discard(&t.answer);
  transactions_.erase(it);
}

void EtlProxy::Fail(Transaction* t, abi::HttpError error, const std::string& message,
                    const std::string& cause) {
  if (error == abi::HttpError::kDenied) ++counters_.denied;
  ++counters_.failed;
  if (audit_) audit_(t->method + " " + t->url.substr(0, 200) + ": " + cause);
  abi::HttpHead head{};
  head.error = error;
  head.entry = abi::kNoEntry;
  head.message_size = static_cast<uint32_t>(message.size());
  const uint64_t id = t->id;
  Forget(id);
  Send(abi::RecordType::kHttpHead, id, &head, sizeof head, message);
}

}  // namespace usetl
