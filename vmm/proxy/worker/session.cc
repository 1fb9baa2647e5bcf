#include "vmm/proxy/worker/session.h"

#include <poll.h>

#include <algorithm>

#include "vmm/proxy/worker/agent_reply.h"
#include "vmm/proxy/worker/guest_rings.h"

namespace usetl {
namespace {

constexpr size_t kOutputPiece = 32 << 10;
constexpr uint32_t kBusyTurns = 16;  // without a look at the descriptors

// Signals as a shell reports them.
int ExitStatus(int wait_status) {
  return (wait_status & 0x7f) != 0 ? 128 + (wait_status & 0x7f) : wait_status >> 8 & 0xff;
}

}  // namespace

void Session::Tell(run::Type type, uint32_t detail, std::string_view bytes) {
  constexpr size_t kPiece = 32 << 10;
  do {
    const std::string_view piece = bytes.substr(0, kPiece);
    const bool last = piece.size() == bytes.size();
    const run::Header header{type, type == run::Type::kResult && !last ? 0 : detail};
    const std::span body(reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
    // Gone, or it does not read, or so slowly that it would hold the USF long after its time.
    constexpr std::chrono::seconds kGrace{10};
    client_left_ = client_left_ || (link_ != nullptr && Clock::now() > deadline_ + kGrace);
    client_left_ = client_left_ || !ipc::Send(client_.get(), ipc::Bytes(header), body).ok();
    if (client_left_) return;
    bytes.remove_prefix(piece.size());
  } while (!bytes.empty());
}

void Session::Mark(const char* step) {
  const auto now = Clock::now();
  timings_[step] = std::chrono::duration_cast<std::chrono::microseconds>(now - mark_).count();
  mark_ = now;
}

void Session::Run() {
  Status status = ReadRequest();
  if (status.ok()) status = Prepare();
  // 124: as timeout(1); 2: what was asked for is wrong; 125: the runtime itself failed, as
  // container tools have it.
  const bool wrong = status.code() == EINVAL;
  if (status.ok()) status = Loop();
  if (status.ok()) return;
  const uint32_t exit = status.code() == ETIMEDOUT ? 124 : wrong ? 2 : 125;
  Tell(run::Type::kFailed, exit, status.message());
}

Status Session::EnsureEtl() {
  if (etl_ != nullptr) return Status();
  etl::EtlProxyOptions options;
  options.policy = policy_;
  options.objects = objects_;
  options.audit = [this](const etl::AuditEvent& event) {
    Tell(run::Type::kLog, 0, "etl: " + event.method + " " + event.url + ": " + event.cause);
  };
  Result<std::unique_ptr<etl::EtlProxy>> proxy = etl::EtlProxy::Create(
      std::move(options), &link_->region(), &link_->guest_region(),
      [this](abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
             std::span<const uint8_t> tail) { return link_->Post(type, id, head, tail); });
  if (!proxy.ok()) return proxy.status();
  etl_ = std::move(*proxy);
  return Status();
}

Status Session::Loop() {
  const auto congested = [this] { return etl_ != nullptr && etl_->congested(); };
  for (uint32_t busy_turns = 0; !done_;) {
    bool progress = false;
    USETL_RETURN_IF_ERROR(DrainGuest(&progress));
    if (done_) break;
    if (client_left_) return Status(ECANCELED, "the client left");
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    if (left.count() <= 0)
      return Status(ETIMEDOUT, "the function ran into its time limit of " +
                                   std::to_string(request_.timeout_ms) + " ms (--timeout)");
    const bool busy = progress || (!congested() && !link_->PrepareWait());
    if (busy && ++busy_turns % kBusyTurns != 0) continue;
    pollfd fds[4] = {{link_->event_fd(), POLLIN, 0},
                     {link_->vmmd_fd(), POLLIN, 0},
                     {client_.get(), POLLIN, 0},
                     {etl_ == nullptr ? -1 : etl_->poll_fd(), POLLIN, 0}};
    int timeout = static_cast<int>(std::min<int64_t>(left.count() + 1, 1000));
    if (busy || congested()) timeout = busy ? 0 : 1;
    const int ready = poll(fds, 4, timeout);
    link_->EndWait(ready > 0 && fds[0].revents != 0);
    if (ready < 0 && errno != EINTR) return Status::Errno("poll");
    if (ready <= 0) continue;
    if (fds[3].revents != 0) etl_->OnReady();
    if (fds[1].revents != 0) USETL_RETURN_IF_ERROR(OnVmmd());
    if (fds[2].revents != 0) return Status(ECANCELED, "the client left");
  }
  USETL_RETURN_IF_ERROR(DrainOutput());
  TellResult();
  return Status();
}

// The result comes last: the client leaves when it has it, whatever is still to be taken down here.
void Session::TellResult() {
  if (request_.timings) {
    const etl::Counters none{};
    const etl::Counters& c = etl_ == nullptr ? none : etl_->counters();
    timings_["proxy"] = {{"requests", c.requests},
                         {"denied", c.denied},
                         {"errors", c.errors},
                         {"bytes_in", c.bytes_in},
                         {"bytes_out", c.bytes_out}};
    Tell(run::Type::kTimings, 0, timings_.dump());
  }
  if (!result_.empty()) Tell(run::Type::kResult, 1, result_);
}

Status Session::DrainOutput() {
  char piece[kOutputPiece];
  return usetl::DrainOutput(
      link_.get(), &output_, piece, [] { return true; },
      [this](uint32_t stream, auto bytes) { Tell(run::Type::kOutput, stream, bytes); });
}

Status Session::DrainGuest(bool* progress) {
  const auto ready = [this] {
    if (done_) return false;
    // Its answers wait for room in the ring: no more requests until the guest has read some.
    if (etl_ != nullptr && etl_->congested()) etl_->OnRingRoom();
    return etl_ == nullptr || !etl_->congested();
  };
  return DrainRecords(
      link_.get(), progress, ready, [this] { return DrainOutput(); },
      [this](const auto& header, auto payload) { return OnRecord(header, payload); });
}

Status Session::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<abi::RecordType>(header.type);
  if (type != abi::RecordType::kLoaded && type != abi::RecordType::kResult) {
    USETL_RETURN_IF_ERROR(EnsureEtl());
    return etl_->OnRecord(header, payload);
  }
  const bool loading = type == abi::RecordType::kLoaded;
  if (loading == loaded_) return Status(EPROTO, "the guest answered what nobody asked");
  Mark(loading ? "load" : "invoke");
  const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
  Result<AgentReply> reply = ParseAgentReply(text);
  if (!reply.ok()) return reply.status();
  if (loading && reply->ok) {
    loaded_ = true;
    return Status();  // the invocation is posted already
  }
  if (reply->path.empty()) {
    result_ = text;
    if (reply->out_of_memory) USETL_RETURN_IF_ERROR(ExplainMemoryError(reply->ok));
  } else {
    Result<std::span<const uint8_t>> value = link_->guest_region().FindFile(reply->path);
    if (!value.ok()) return value.status();
    if (value->size() > run::kMaxResult)
      return Status(EFBIG, "the function's result exceeds 32 MB");
    // The guest may still write there: one copy, then only the copy counts.
    const std::string copy(value->begin(), value->end());
    Result<std::string> whole = ReplyAround(copy);
    if (!whole.ok()) return whole.status();
    result_ = std::move(*whole);
  }
  done_ = true;
  return Status();
}

Status Session::ExplainMemoryError(bool of_script) {
  const std::string why = link_->DescribeMemoryLimit("--memory");
  if (why.empty()) return Status();
  if (of_script) {
    USETL_RETURN_IF_ERROR(DrainOutput());  // its traceback
    Tell(run::Type::kLog, 0, "usetl: " + why);
    return Status();
  }
  Result<std::string> whole = ReplyWith(result_, why);
  if (!whole.ok()) return whole.status();
  result_ = std::move(*whole);
  return Status();
}

Status Session::OnVmmd() {
  Result<ipc::Message> message = link_->ReceiveFromVmmd();
  if (!message.ok()) return Status(EIO, "usetl-vmmd left while the function ran");
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short message");
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  const std::string text(message->bytes.begin() + sizeof reply, message->bytes.end());
  if (reply.reply == pool::Reply::kLog) {
    Tell(run::Type::kLog, 0, text);
    return Status();
  }
  if (reply.reply != pool::Reply::kEnded) return Status();
  USETL_RETURN_IF_ERROR(DrainLastRecords([this](bool* some) { return DrainGuest(some); }));
  if (done_) return Status();
  done_ = true;
  if (reply.lost) {
    Tell(run::Type::kFailed, 125, "the USF was lost while the function ran: " + text);
    return Status();
  }
  const int status = ExitStatus(reply.status);
  Tell(run::Type::kFailed, static_cast<uint32_t>(status),
       text.empty() ? "the function ended its process with status " + std::to_string(status)
                    : "the function crashed: " + text);
  return Status();
}

}  // namespace usetl
