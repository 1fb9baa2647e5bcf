#include "vmm/proxy/gateway/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "vmm/proxy/gateway/http1.h"

namespace usetl::gateway {
namespace {

// Reads of a busy client before the others get their turn.
constexpr int kRounds = 8;
// An empty buffer that was larger gives its memory back.
constexpr size_t kKeptBuffer = 16 << 10;
constexpr uint64_t kLingerNs = 2'000'000'000;
constexpr uint64_t kLingerBytes = 1 << 20;

}  // namespace

Connection::Connection(Core* core, Fd socket, Endpoint client, Endpoint server)
    : core_(core),
      socket_(std::move(socket)),
      client_(std::move(client)),
      server_(std::move(server)),
      protocol_(std::make_unique<Http1>(this)) {}

Connection::~Connection() { core_->Release(charged_); }

void Connection::OnEvents(uint32_t events) {
  if (dead_) return;
  // Both directions are shut: nobody can read an answer.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Break();
  if ((events & EPOLLOUT) != 0) writable_ = true;
  if ((events & EPOLLIN) != 0) readable_ = true;
  // Told once only, perhaps together with a request: reading goes on until the end is read.
  if ((events & EPOLLRDHUP) != 0) end_told_ = true;
  if ((events & EPOLLRDHUP) != 0 && !linger_ && !protocol_->WantsInput() &&
      protocol_->OnEndOfInput()) {
    return Break();
  }
  if (unsent() != 0 && writable_) Flush();
  if (!dead_ && unsent() == 0) protocol_->OnSent();
  Process();
}

void Connection::Resume() {
  if (!dead_ && unsent() == 0) protocol_->OnSent();
  Process();
}

void Connection::Process() {
  for (int round = 0; round < kRounds && !dead_; ++round) {
    if (linger_until_ != kNever) return Discard();
    if (finishing_ || !protocol_->WantsInput()) return;
    if (!pending_.empty()) {
      const size_t before = pending_.size();
      Feed(pending_, true);
      if (pending_.size() != before) continue;
    }
    if (!readable_ || !Read()) return;
  }
  if (!dead_ && has_input()) core_->Defer(this);
}

bool Connection::Read() {
  const std::span<char> buffer = core_->read_buffer();
  const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size < 0) {
    if (errno == EINTR) return true;
    readable_ = false;
    if (errno != EAGAIN) Break();
    return false;
  }
  if (size == 0) {
    // What was begun is never completed; what was answered is still sent.
    end_of_input_ = true;
    readable_ = false;
    protocol_->OnEndOfInput();
    unsent() == 0 ? Break() : Finish(false);
    return false;
  }
  core_->counters().bytes_in += size;
  // Less than was asked for: the socket is empty, and epoll tells of what comes next.
  readable_ = end_told_ || static_cast<size_t>(size) == buffer.size();
  const std::string_view bytes(buffer.data(), size);
  if (pending_.empty()) {
    Feed(bytes, false);
  } else {
    pending_.append(bytes);
    Feed(pending_, true);
  }
  return true;
}

void Connection::Feed(std::string_view bytes, bool are_pending) {
  const size_t used = protocol_->OnInput(bytes);
  if (are_pending) {
    pending_.erase(0, used);
    if (pending_.empty() && pending_.capacity() > kKeptBuffer) std::string().swap(pending_);
  } else if (used < bytes.size()) {
    pending_.assign(bytes.substr(used));
  }
  if (next_ != nullptr) {
    protocol_ = std::move(next_);
    protocol_->OnBecome();
  }
  if (!dead_) Hold();
}

void Connection::Flush(std::string_view more) {
  if (dead_) return;
  const std::string_view mine = std::string_view(out_).substr(sent_);
  size_t taken = 0;
  const size_t total = mine.size() + more.size();
  while (writable_ && taken < total) {
    const std::string_view first = taken < mine.size() ? mine.substr(taken) : std::string_view();
    const std::string_view second = taken < mine.size() ? more : more.substr(taken - mine.size());
    iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                      {const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = first.empty() ? parts + 1 : parts;
    message.msg_iovlen = first.empty() || second.empty() ? 1 : 2;
    const ssize_t size = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) return Break();
      writable_ = false;
      break;
    }
    taken += size;
    core_->counters().bytes_out += size;
    last_progress_ = NowNs();
  }
  if (taken >= mine.size()) {
    more.remove_prefix(taken - mine.size());
    out_.clear();
    sent_ = 0;
    if (more.empty() && out_.capacity() > kKeptBuffer) std::string().swap(out_);
  } else {
    sent_ += taken;
    if (sent_ > out_.size() / 2) {
      out_.erase(0, sent_);
      sent_ = 0;
    }
  }
  out_.append(more);
  AfterSend();
}

void Connection::AfterSend() {
  if (!Hold()) return;
  if (unsent() != 0) {
    if (last_progress_ == 0) last_progress_ = NowNs();
    return core_->NoteDeadline(Deadline());
  }
  last_progress_ = 0;
  if (finishing_) Finish(linger_);
}

bool Connection::Hold() {
  core_->Release(charged_);
  charged_ = pending_.size() + out_.size();
  if (core_->Charge(charged_)) return true;
  charged_ = 0;
  Break();
  return false;
}

void Connection::Finish(bool linger) {
  if (dead_) return;
  finishing_ = true;
  linger_ = linger && !end_of_input_;
  if (unsent() != 0) return;
  if (!linger_ || linger_until_ != kNever) {
    if (!linger_) Break();
    return;
  }
  shutdown(socket_.get(), SHUT_WR);
  linger_until_ = NowNs() + kLingerNs;
  core_->NoteDeadline(linger_until_);
  core_->Defer(this);
}

void Connection::Discard() {
  std::string().swap(pending_);
  const std::span<char> buffer = core_->read_buffer();
  // One that sends more is no longer read from, and not reset either: it would lose the answer.
  while (readable_ && !dead_ && discarded_ < kLingerBytes) {
    const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) {
      readable_ = false;
      return;
    }
    if (size <= 0) return Break();
    discarded_ += size;
  }
}

void Connection::Break() {
  if (dead_) return;
  dead_ = true;
  core_->Defer(this);
}

void Connection::Reset() {
  const linger at_once{1, 0};
  // Only fails for sockets that know no reset; their end is all there is to see.
  (void)setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Break();
}

uint64_t Connection::Deadline() const {
  if (linger_until_ != kNever) return linger_until_;
  const auto stall = std::chrono::nanoseconds(core_->options().write_stall).count();
  // Who takes an answer, however long that lasts, is neither idle nor late with what comes next.
  if (unsent() != 0 && last_progress_ != 0) return last_progress_ + stall;
  return finishing_ ? kNever : protocol_->Deadline();
}

void Connection::CheckDeadline(uint64_t now) {
  if (dead_ || Deadline() > now) return;
  if (finishing_ || unsent() != 0) return Break();
  protocol_->OnDeadline();
}

}  // namespace usetl::gateway
