#include "vmm/proxy/worker/session.h"

#include <poll.h>

#include <algorithm>
#include <cstring>

namespace usetl {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxResult = 32 << 20;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

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
    // A client that left is noticed by the loop.
    if (!ipc::Send(client_.get(), ipc::Bytes(header), AsBytes(piece)).ok()) return;
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
  if (status.ok()) status = Loop();
  if (!status.ok()) {
    // 124: as timeout(1); 125: the runtime itself failed, as container tools have it.
    Tell(run::Type::kFailed, status.code() == ETIMEDOUT ? 124 : 125, status.message());
  }
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
  while (!done_) {
    bool progress = false;
    USETL_RETURN_IF_ERROR(DrainGuest(&progress));
    if (done_) break;
    if (progress || (!congested() && !link_->PrepareWait())) continue;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    if (left.count() <= 0) return Status(ETIMEDOUT, "the function ran into its time limit");
    pollfd fds[4] = {{link_->event_fd(), POLLIN, 0},
                     {link_->vmmd_fd(), POLLIN, 0},
                     {client_.get(), POLLIN, 0},
                     {etl_ == nullptr ? -1 : etl_->poll_fd(), POLLIN, 0}};
    const int timeout = static_cast<int>(std::min<int64_t>(left.count() + 1, 1000));
    const int ready = poll(fds, 4, congested() ? 1 : timeout);
    link_->EndWait();
    if (ready < 0 && errno != EINTR) return Status::Errno("poll");
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
  if (request_.value("timings", false)) {
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
  char buffer[32 << 10];
  for (;;) {
    const int64_t count = link_->TakeOutput(buffer, sizeof buffer);
    if (count < 0) return Status(EPROTO, "the guest broke its output ring");
    if (count == 0) return Status();
    partial_output_.append(buffer, count);
    for (;;) {
      abi::OutputFrame frame;
      if (partial_output_.size() < sizeof frame) break;
      std::memcpy(&frame, partial_output_.data(), sizeof frame);
      if (partial_output_.size() < sizeof frame + frame.size) break;
      Tell(run::Type::kOutput, frame.stream == 2 ? 2 : 1,
           std::string_view(partial_output_).substr(sizeof frame, frame.size));
      partial_output_.erase(0, sizeof frame + frame.size);
    }
  }
}

Status Session::DrainGuest(bool* progress) {
  for (;;) {
    if (etl_ != nullptr && etl_->congested()) {
      // Its answers wait for room in the ring: no more requests until the guest has read some.
      etl_->OnRingRoom();
      if (etl_->congested()) return DrainOutput();
    }
    abi::RecordHeader header;
    std::span<const uint8_t> payload;
    switch (link_->Take(&header, &payload)) {
      case abi::RingRead::kEmpty:
        return DrainOutput();
      case abi::RingRead::kBroken:
        return Status(EPROTO, "the guest broke its ring");
      case abi::RingRead::kRecord:
        *progress = true;
        // What was printed before an answer is shown before it.
        USETL_RETURN_IF_ERROR(DrainOutput());
        USETL_RETURN_IF_ERROR(OnRecord(header, payload));
        if (done_) return Status();
    }
  }
}

Status Session::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<abi::RecordType>(header.type);
  const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
  if (type == abi::RecordType::kLoaded) {
    Mark("load");
    const json loaded = json::parse(text, nullptr, false);
    if (loaded.is_object() && loaded.value("ok", false)) return Status();
    result_ = text;
    done_ = true;
    return Status();
  }
  if (type == abi::RecordType::kResult) {
    Mark("invoke");
    const json result = json::parse(text, nullptr, false);
    if (!result.is_object()) return Status(EPROTO, "the function's answer is no JSON");
    if (result.contains("path") && result["path"].is_string()) {
      Result<std::span<const uint8_t>> large =
          link_->guest_region().FindFile(result["path"].get<std::string>());
      if (!large.ok()) return large.status();
      if (large->size() > kMaxResult) return Status(EFBIG, "the function's result exceeds 32 MB");
      // The guest may still write there: one copy, then only the copy counts.
      const std::string copy(large->begin(), large->end());
      const json value = json::parse(copy, nullptr, false);
      if (value.is_discarded()) return Status(EPROTO, "the function's answer is no JSON");
      result_ = json({{"ok", true}, {"value", value}}).dump();
    } else {
      result_ = text;
    }
    done_ = true;
    return Status();
  }
  USETL_RETURN_IF_ERROR(EnsureEtl());
  return etl_->OnRecord(header, payload);
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
  bool progress = false;
  USETL_RETURN_IF_ERROR(DrainGuest(&progress));
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
