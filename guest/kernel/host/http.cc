#include "guest/kernel/host/http.h"

#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/fs/body.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

class Transaction;
Transaction* g_transactions = nullptr;
uint64_t g_next_id = 1;

// Outlives its file until the host's last record: only then is the request's body free again.
class Transaction {
 public:
  Transaction() : id_(g_next_id++), next_(g_transactions) { g_transactions = this; }
  ~Transaction();

  int64_t Write(const void* user, uint64_t size) {
    return requested_ ? WriteBody(user, size) : Request(user, size);
  }
  int64_t Read(void* user, uint64_t size);
  bool readable() const { return !records_.empty() || (finished_ && requested_); }
  WaitQueue* queue() { return &queue_; }

  // The file is closed: cancels what runs, or goes at once.
  void Abandon();
  void Deliver(Record* record);
  uint32_t status_flags = 0;  // of the file
  uint64_t id() const { return id_; }
  Transaction* next() const { return next_; }

 private:
  int64_t Request(const void* user, uint64_t size);
  int64_t WriteBody(const void* user, uint64_t size);
  // Tells the host that the last span was read.
  void Acknowledge();
  void ReleaseBody();
  void Discard(Record* record);

  uint64_t id_;
  Transaction* next_;
  RecordQueue records_;
  WaitQueue queue_;
  bool requested_ = false;
  bool streaming_body_ = false;
  bool finished_ = false;  // the host's last record has come
  bool orphan_ = false;    // closed by the application, waiting for that record
  abi::HttpSpan unread_{};
  File* body_ = nullptr;  // pinned file of the request's body
  BodyWindow window_;     // of a streamed request body
  uint64_t sent_ = 0, consumed_ = 0;
};

class TransactionFile final : public File {
 public:
  explicit TransactionFile(Transaction* transaction) : transaction_(transaction) {}
  ~TransactionFile() override { transaction_->Abandon(); }
  int64_t Read(void* user, uint64_t size) override {
    transaction_->status_flags = status_flags;
    return transaction_->Read(user, size);
  }
  int64_t Write(const void* user, uint64_t size) override {
    transaction_->status_flags = status_flags;
    return transaction_->Write(user, size);
  }
  uint32_t Poll() override { return (transaction_->readable() ? kPollIn : 0) | kPollOut; }
  WaitQueue* wait_queue() override { return transaction_->queue(); }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeCharacter | 0600;
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }

 private:
  Transaction* transaction_;
};

int64_t Transaction::Request(const void* user, uint64_t size) {
  static uint8_t buffer[abi::kMaxRecord];
  abi::HttpRequest request;
  if (size < sizeof request || size > sizeof buffer - sizeof(abi::RecordHeader)) return -EMSGSIZE;
  if (!CopyFromUser(buffer, user, size)) return -EFAULT;
  memcpy(&request, buffer, sizeof request);
  if (request.body == abi::BodyKind::kFile) {
    File* file = GetFile(static_cast<int>(request.body_offset));
    if (file == nullptr) return -EBADF;
    uint64_t offset = 0;
    if (const int64_t error = PinBody(file, request.body_size, &body_, &offset); error != 0) {
      return error;
    }
    request.body = abi::BodyKind::kRegion;
    request.body_offset = offset;
    memcpy(buffer, &request, sizeof request);
  } else if (request.body == abi::BodyKind::kStream) {
    if (const int64_t error = OpenBodyWindow(&window_); error != 0) return error;
    streaming_body_ = true;
  } else if (request.body != abi::BodyKind::kNone && request.body != abi::BodyKind::kInline) {
    return -EINVAL;
  }
  requested_ = true;
  PostRecord(abi::RecordType::kHttpRequest, id_, buffer, static_cast<uint32_t>(size));
  return static_cast<int64_t>(size);
}

int64_t Transaction::WriteBody(const void* user, uint64_t size) {
  if (!streaming_body_) return -EINVAL;
  if (size == 0) {
    streaming_body_ = false;
    PostRecord(abi::RecordType::kHttpBodyEnd, id_, nullptr, 0);
    return 0;
  }
  uint64_t done = 0;
  while (done < size) {
    if (finished_) return done != 0 ? static_cast<int64_t>(done) : -EPIPE;
    uint64_t room = window_.size - (sent_ - consumed_);
    const uint64_t at = sent_ % window_.size;
    if (room > window_.size - at) room = window_.size - at;
    if (room == 0) {
      Waiter waiter(g_current);
      queue_.Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal) {
        return done != 0 ? static_cast<int64_t>(done) : kRestart;
      }
      continue;
    }
    // Pieces of a quarter keep both sides busy.
    uint64_t chunk = size - done < room ? size - done : room;
    if (chunk > window_.size / 4) chunk = window_.size / 4;
    if (!CopyFromUser(window_.memory + at, static_cast<const uint8_t*>(user) + done, chunk)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    const abi::HttpSpan span{window_.offset + at, chunk};
    PostRecord(abi::RecordType::kHttpBody, id_, &span, sizeof span);
    sent_ += chunk;
    done += chunk;
  }
  return static_cast<int64_t>(done);
}

int64_t Transaction::Read(void* user, uint64_t size) {
  Acknowledge();
  while (records_.empty()) {
    PollMailbox();
    if (!records_.empty()) break;
    if (finished_ || !requested_) return 0;
    if (status_flags & kNonBlock) return -EAGAIN;
    Waiter waiter(g_current);
    queue_.Add(&waiter);
    if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal && records_.empty()) {
      return kRestart;
    }
  }
  Record* record = records_.first();
  const uint32_t payload = record->header.size - sizeof record->header;
  if (record->header.size > size) return -EMSGSIZE;
  auto* to = static_cast<uint8_t*>(user);
  if (!CopyToUser(to, &record->header, sizeof record->header) ||
      !CopyToUser(to + sizeof record->header, record->payload, payload)) {
    return -EFAULT;
  }
  if (record->header.type == static_cast<uint16_t>(abi::RecordType::kHttpData) &&
      payload >= sizeof unread_) {
    memcpy(&unread_, record->payload, sizeof unread_);
  }
  const auto got = static_cast<int64_t>(record->header.size);
  Free(records_.Pop());
  return got;
}

void Transaction::Acknowledge() {
  if (unread_.size == 0) return;
  PostRecord(abi::RecordType::kHttpConsumed, id_, &unread_, sizeof unread_);
  unread_ = {};
}

void Transaction::Deliver(Record* record) {
  const auto type = static_cast<abi::RecordType>(record->header.type);
  const uint32_t payload = record->header.size - sizeof record->header;
  if (type == abi::RecordType::kHttpDone) {
    abi::HttpSpan span{};
    if (payload >= sizeof span) memcpy(&span, record->payload, sizeof span);
    if (span.size <= sent_ - consumed_) consumed_ += span.size;
    Free(record);
  } else {
    abi::HttpHead head{};
    if (payload >= sizeof head) memcpy(&head, record->payload, sizeof head);
    const bool last = type == abi::RecordType::kHttpEnd ||
                      (type == abi::RecordType::kHttpHead && head.streamed == 0);
    if (last) {
      finished_ = true;
      ReleaseBody();
    }
    if (orphan_) {
      Discard(record);
      if (last) Delete(this);
      return;
    }
    records_.Push(record);
  }
  queue_.Wake();
}

// Nobody will read it: what it holds of the host region goes back.
void Transaction::Discard(Record* record) {
  const auto type = static_cast<abi::RecordType>(record->header.type);
  const uint32_t payload = record->header.size - sizeof record->header;
  abi::HttpHead head{};
  abi::HttpSpan span{};
  if (type == abi::RecordType::kHttpHead && payload >= sizeof head) {
    memcpy(&head, record->payload, sizeof head);
    const abi::HostRegionEntry entry{head.entry, 0};
    if (head.entry != abi::kNoEntry) {
      PostRecord(abi::RecordType::kRelease, 0, &entry, sizeof entry);
    }
  } else if (type == abi::RecordType::kHttpData && payload >= sizeof span) {
    memcpy(&span, record->payload, sizeof span);
    PostRecord(abi::RecordType::kHttpConsumed, id_, &span, sizeof span);
  }
  Free(record);
}

void Transaction::Abandon() {
  Acknowledge();
  while (Record* record = records_.Pop()) Discard(record);
  if (!requested_ || finished_) {
    Delete(this);
    return;
  }
  orphan_ = true;
  PostRecord(abi::RecordType::kHttpCancel, id_, nullptr, 0);
}

void Transaction::ReleaseBody() {
  if (body_ != nullptr) UnpinBody(body_);
  body_ = nullptr;
  CloseBodyWindow(&window_);
}

Transaction::~Transaction() {
  Transaction** link = &g_transactions;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
  ReleaseBody();
}

}  // namespace

File* CreateTransaction() {
  Transaction* transaction = New<Transaction>();
  if (transaction == nullptr) return nullptr;
  File* file = New<TransactionFile>(transaction);
  if (file == nullptr) Delete(transaction);
  return file;
}

void ForgetTransactions() { g_transactions = nullptr; }

void DeliverHttpRecord(Record* record) {
  for (Transaction* t = g_transactions; t != nullptr; t = t->next()) {
    if (t->id() == record->header.id) return t->Deliver(record);
  }
  Free(record);
}

}  // namespace usetl::kernel
