#include "vmm/proxy/etl/etl_proxy.h"

#include <cstring>
#include <deque>
#include <map>

#include "vmm/proxy/etl/file_transfer.h"
#include "vmm/proxy/etl/http_transfer.h"

namespace usetl::etl {
namespace {

using abi::HttpError;
using abi::RecordType;

// A caller that minds congested() never comes near it.
constexpr size_t kMaxPending = 65536;

template <typename T>
bool ReadPayload(std::span<const uint8_t> payload, T* value) {
  if (payload.size() != sizeof *value) return false;
  std::memcpy(value, payload.data(), sizeof *value);
  return true;
}

}  // namespace

class EtlProxy::Impl {
 public:
  Impl(EtlProxyOptions options, HostRegion* region, const GuestRegionView* guest, PostRecord post,
       std::unique_ptr<CurlLoop> loop)
      : context_{std::move(options), region,  guest, Outbox(std::move(post)),
                 std::move(loop),    nullptr, {}} {}
  ~Impl() { CancelAll(); }

  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);
  void OnReady();
  void OnRingRoom();
  void CancelAll();

  Context context_;
  std::map<uint64_t, std::unique_ptr<Transaction>> transactions_;

 private:
  Status OnRequest(uint64_t id, std::span<const uint8_t> payload);
  Status Dispatch(const abi::RecordHeader& header, std::span<const uint8_t> payload);
  // Refuses a request that never became a transaction.
  void Refuse(uint64_t id, HttpError error, std::string_view cause);
  void OnHopDone(CURL* easy, CURLcode result) { HttpTransfer::Of(easy)->OnHopDone(result); }
  CurlLoop::Done Done() {
    return [this](CURL* easy, CURLcode result) { OnHopDone(easy, result); };
  }
  // After every call from outside: timeouts, turns, steps, what is over, and the next deadline.
  void Settle();
  // False: nobody's turn has come.
  bool StartWaiting();
  // True: a transaction has more to do without waiting for anything.
  bool StepAll(uint64_t now);

  std::deque<uint64_t> waiting_;  // ids that have not had their turn
  uint32_t active_ = 0;           // transactions that have had it and still transfer
  uint64_t deadline_ = 0;         // the next one of all transactions
};

void EtlProxy::Impl::Refuse(uint64_t id, HttpError error, std::string_view cause) {
  ++(error == HttpError::kDenied ? context_.counters.denied : context_.counters.errors);
  if (context_.options.audit) context_.options.audit({id, error, "", "", std::string(cause)});
  ResponseWriter writer(id, context_.region, &context_.outbox, 0);
  writer.Fail(error, error == HttpError::kBadRequest ? cause : ErrorText(error));
}

Status EtlProxy::Impl::OnRequest(uint64_t id, std::span<const uint8_t> payload) {
  if (transactions_.contains(id)) return Status(EPROTO, "HTTP: the transaction is open already");
  ++context_.counters.requests;
  Result<Request> request = ParseRequest(payload, context_.options.limits, *context_.guest);
  if (!request.ok()) {
    if (request.status().code() == EPROTO) return request.status();
    Refuse(id, HttpError::kBadRequest, request.status().message());
    return Status();
  }
  if (transactions_.size() >= context_.options.limits.max_open) {
    Refuse(id, HttpError::kNoSpace, "too many transactions at once");
    return Status();
  }
  std::unique_ptr<Transaction> transaction;
  if (request->url.starts_with("file:")) {
    transaction = std::make_unique<FileTransfer>(&context_, id, std::move(*request));
  } else {
    Result<Url> url = Url::Parse(request->url);
    if (!url.ok()) {
      Refuse(id, HttpError::kBadRequest, url.status().message());
      return Status();
    }
    transaction =
        std::make_unique<HttpTransfer>(&context_, id, std::move(*request), std::move(*url));
  }
  transactions_.emplace(id, std::move(transaction));
  waiting_.push_back(id);
  return Status();
}

Status EtlProxy::Impl::Dispatch(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<RecordType>(header.type);
  if (type == RecordType::kHttpRequest) return OnRequest(header.id, payload);
  if (type == RecordType::kRelease) {
    abi::HostRegionEntry entry;
    if (!ReadPayload(payload, &entry)) return Status(EPROTO, "release: wrong size");
    context_.region->Release(entry.entry);
    return Status();
  }
  // Records may cross the last one of their transaction: they are checked and forgotten.
  const auto found = transactions_.find(header.id);
  Transaction* transaction = found == transactions_.end() ? nullptr : found->second.get();
  abi::HttpSpan span;
  switch (type) {
    case RecordType::kHttpConsumed:
    case RecordType::kHttpBody:
      if (!ReadPayload(payload, &span)) return Status(EPROTO, "HTTP span: wrong size");
      if (transaction == nullptr) return Status();
      return type == RecordType::kHttpBody ? transaction->OnBody(span)
                                           : transaction->OnConsumed(span);
    case RecordType::kHttpBodyEnd:
      return transaction == nullptr ? Status() : transaction->OnBodyEnd();
    case RecordType::kHttpCancel:
      if (transaction != nullptr) transaction->Cancel();
      return Status();
    default:
      return Status(EPROTO, "not a record for the ETL proxy");
  }
}

Status EtlProxy::Impl::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  if (context_.outbox.pending() > kMaxPending) {
    return Status(EPROTO, "the guest sends requests and reads no answers");
  }
  const Status status = Dispatch(header, payload);
  Settle();
  return status;
}

bool EtlProxy::Impl::StartWaiting() {
  bool any = false;
  while (!waiting_.empty() && active_ < context_.options.limits.max_active) {
    const auto next = transactions_.find(waiting_.front());
    waiting_.pop_front();
    // Cancelled or timed out meanwhile; the id may even have been used again and started.
    if (next == transactions_.end() || next->second->done() || next->second->started) continue;
    next->second->started = true;
    next->second->Start();
    ++active_;
    any = true;
  }
  return any;
}

bool EtlProxy::Impl::StepAll(uint64_t now) {
  bool more = false;
  active_ = 0;
  deadline_ = 0;
  for (auto it = transactions_.begin(); it != transactions_.end();) {
    Transaction& transaction = *it->second;
    const uint64_t due = transaction.deadline();
    if (due != 0 && now >= due) transaction.OnTime(now);
    if (transaction.started) more |= transaction.Step();
    transaction.Flush();
    if (transaction.done()) {
      it = transactions_.erase(it);
      continue;
    }
    active_ += transaction.started && !transaction.draining();
    const uint64_t next = transaction.deadline();
    if (next != 0 && (deadline_ == 0 || next < deadline_)) deadline_ = next;
    ++it;
  }
  return more;
}

void EtlProxy::Impl::Settle() {
  const uint64_t now = NowNs();
  bool more = false;
  do {  // what ends in a step makes room for who waits
    if (StartWaiting()) context_.loop->Kick(Done());
    more = StepAll(now);
  } while (!waiting_.empty() && active_ < context_.options.limits.max_active);
  context_.loop->SetDeadline(more ? now : deadline_);
}

void EtlProxy::Impl::OnReady() {
  context_.loop->Run(Done());
  Settle();
}

void EtlProxy::Impl::OnRingRoom() {
  context_.outbox.Drain();
  Settle();
}

void EtlProxy::Impl::CancelAll() {
  waiting_.clear();
  active_ = 0;
  transactions_.clear();
  context_.outbox.Clear();
  context_.loop->SetDeadline(0);
}

Result<std::unique_ptr<EtlProxy>> EtlProxy::Create(EtlProxyOptions options, HostRegion* region,
                                                   const GuestRegionView* guest, PostRecord post) {
  Result<std::unique_ptr<CurlLoop>> loop = CurlLoop::Create();
  if (!loop.ok()) return loop.status();
  std::unique_ptr<NameResolver> resolver;
  if (!options.names.empty()) {
    Result<std::unique_ptr<NameResolver>> made = NameResolver::Create(options.names);
    if (!made.ok()) return made.status();
    resolver = std::move(*made);
    USETL_RETURN_IF_ERROR(
        (*loop)->Watch(resolver->fd(), [raw = resolver.get()] { raw->OnReady(); }));
  }
  auto impl =
      std::make_unique<Impl>(std::move(options), region, guest, std::move(post), std::move(*loop));
  impl->context_.resolver = std::move(resolver);
  return std::unique_ptr<EtlProxy>(new EtlProxy(std::move(impl)));
}

EtlProxy::EtlProxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EtlProxy::~EtlProxy() = default;

bool EtlProxy::Handles(RecordType type) {
  return type == RecordType::kRelease ||
         (type >= RecordType::kHttpRequest && type <= RecordType::kHttpBodyEnd);
}

Status EtlProxy::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  return impl_->OnRecord(header, payload);
}

int EtlProxy::poll_fd() const { return impl_->context_.loop->fd(); }
void EtlProxy::OnReady() { impl_->OnReady(); }
void EtlProxy::OnRingRoom() { impl_->OnRingRoom(); }
bool EtlProxy::congested() const { return impl_->context_.outbox.congested(); }
void EtlProxy::CancelAll() { impl_->CancelAll(); }

uint32_t EtlProxy::open_transactions() const {
  return static_cast<uint32_t>(impl_->transactions_.size());
}

const Counters& EtlProxy::counters() const { return impl_->context_.counters; }

}  // namespace usetl::etl
