#include "cri/streaming/process_session.h"

#include <algorithm>

#include "cri/streaming/reports.h"
#include "vmm/base/json_text.h"

namespace usetl::cri::streaming {
namespace {

constexpr std::string_view kKindNames[] = {"stdin", "stdout", "stderr", "error", "resize"};
constexpr size_t kMaxResize = 1024;  // bytes of one object

}  // namespace

ProcessSession::ProcessSession(std::unique_ptr<Mux> mux, int stop, const Timers& timers,
                               ProcessRequest request, Launch launch)
    : Session(std::move(mux), stop, timers),
      request_(std::move(request)),
      launch_(std::move(launch)),
      wanted_{request_.in, request_.out, request_.err, true, request_.tty} {}

std::vector<Channel> ChannelsFor(const ProcessRequest& request) {
  const bool open[] = {request.in, request.out, request.err, true, request.tty};
  std::vector<Channel> channels(std::size(open));
  for (size_t i = 0; i < channels.size(); ++i) {
    channels[i].open = open[i];
    channels[i].headers.emplace(kStreamType, kKindNames[i]);
  }
  channels[0].readable = request.in;
  channels[4].readable = request.tty;
  // Clients learn from an empty message that all is ready.
  channels[request.out ? 1 : request.err ? 2 : 3].greet = true;
  return channels;
}

ProcessSession::Kind ProcessSession::KindOf(uint32_t stream) const {
  return static_cast<Kind>(std::find(streams_.begin(), streams_.end(), stream) - streams_.begin());
}

Status ProcessSession::OnOpen(uint32_t stream, const Headers& headers) {
  const auto type = headers.find(kStreamType);
  for (int kind = 0; type != headers.end() && kind < kKinds; ++kind) {
    if (type->second != kKindNames[kind] || !wanted_[kind] || streams_[kind]) continue;
    streams_[kind] = stream;
    return Status();
  }
  mux().Reset(stream);
  return Status();
}

std::optional<Session::Clock::time_point> ProcessSession::incomplete_since() const {
  for (int kind = 0; kind < kKinds; ++kind) {
    if (wanted_[kind] && !streams_[kind]) return created_;
  }
  return std::nullopt;
}

Status ProcessSession::OnData(uint32_t stream, std::string_view data) {
  const Kind kind = KindOf(stream);
  if (kind == kIn && (process_ == nullptr || process_->in.ok())) {
    input_.Push(data);
    return Status();
  }
  mux().Consumed(stream, data.size());
  return kind == kResize ? OnResize(data) : Status();
}

Status ProcessSession::OnEnd(uint32_t stream) {
  if (KindOf(stream) == kIn) input_.End();
  return Status();
}

void ProcessSession::OnReset(uint32_t stream) {
  const Kind kind = KindOf(stream);
  if (kind == kIn) input_.End();
  if ((kind == kOut || kind == kErr) && process_ != nullptr) OutputOf(kind).Reset();
}

Status ProcessSession::OnResize(std::string_view data) {
  for (const char c : data) {
    if (resize_.size() >= kMaxResize) return Status(EPROTO, "a terminal size that is too long");
    resize_.push_back(c);
    if (c != '}') continue;
    const Result<nlohmann::json> size = ParseJson(std::exchange(resize_, {}), "a terminal size");
    if (!size.ok()) return size.status();
    const nlohmann::json* columns = Member(*size, "Width");
    const nlohmann::json* rows = Member(*size, "Height");
    const auto valid = [](const nlohmann::json* number) {
      return number != nullptr && number->is_number_unsigned() &&
             number->get<uint64_t>() <= UINT16_MAX;
    };
    if (!valid(columns) || !valid(rows)) return Status(EPROTO, "a terminal size without numbers");
    const Size wanted{columns->get<uint16_t>(), rows->get<uint16_t>()};
    if (wanted.columns == 0 || wanted.rows == 0) continue;  // of a window that is not shown
    size_ = wanted;
  }
  return Status();
}

Status ProcessSession::Start() {
  Result<std::unique_ptr<Process>> process = launch_(request_);
  if (!process.ok()) {
    report_ = FailureReport(process.status());
    return Status();
  }
  process_ = std::move(*process);
  for (const Fd* fd : {&process_->in, &process_->out, &process_->err}) {
    if (fd->ok()) USETL_RETURN_IF_ERROR(SetNonblocking(fd->get()));
  }
  return Status();
}

Status ProcessSession::Advance() {
  if (finished_ || incomplete_since()) return Status();
  if (process_ == nullptr && report_.empty()) USETL_RETURN_IF_ERROR(Start());
  if (process_ != nullptr && report_.empty()) {
    // A program may end between a client's resize and us: not the client's fault.
    if (size_) (void)process_->Resize(size_->columns, size_->rows);
    size_.reset();
    // A terminal has no end of input but its own, which hangs up: that is for the connection to do.
    if (process_->in.ok() && input_.drained() && !request_.tty) process_->in.Reset();
    if (exited_ && !process_->out.ok() && !process_->err.ok()) {
      const Result<int> code = process_->Exit();
      // Clients of an attach are told that it ended, not how.
      report_ =
          code.ok() ? ExitReport(request_.argv.empty() ? 0 : *code) : FailureReport(code.status());
    }
  }
  if (report_.empty() || mux().Room(*streams_[kError]) < report_.size()) return Status();
  mux().Send(*streams_[kError], report_);
  for (const auto& stream : streams_) {
    if (stream) mux().End(*stream);
  }
  finished_ = true;
  return Status();
}

void ProcessSession::Watch(Poller* poller, bool room) {
  if (process_ == nullptr || !report_.empty()) return;
  if (process_->in.ok() && input_.size() > 0) {
    poller->Watch(process_->in.get(), POLLOUT, [this] {
      if (!process_->in.ok()) return Status();
      const Result<size_t> taken = input_.Flush(process_->in.get());
      if (taken.ok()) {
        mux().Consumed(*streams_[kIn], *taken);
      } else {
        CloseInput();
      }
      return Status();
    });
  }
  for (const Kind kind : {kOut, kErr}) {
    const Fd& output = OutputOf(kind);
    if (!output.ok() || !room || mux().Room(*streams_[kind]) == 0) continue;
    poller->Watch(output.get(), POLLIN, [this, kind] { return PumpOutput(kind); });
  }
  if (!exited_) {
    poller->Watch(process_->exit_fd(), POLLIN, [this] {
      exited_ = true;
      return Status();
    });
  }
}

void ProcessSession::CloseInput() {  // the program reads no more
  process_->in.Reset();
  mux().Consumed(*streams_[kIn], input_.Drop());
  mux().End(*streams_[kIn]);
}

Status ProcessSession::PumpOutput(Kind kind) {
  Fd& output = OutputOf(kind);
  const uint32_t stream = *streams_[kind];
  const size_t room = mux().Room(stream);
  if (!output.ok() || room == 0) return Status();
  const Result<std::string> part = ReadSome(output.get(), room);
  if (!part.ok() && (part.status().code() == EAGAIN || part.status().code() == EINTR)) {
    return Status();
  }
  if (part.ok() && !part->empty()) {
    mux().Send(stream, *part);
    return Status();
  }
  output.Reset();
  mux().End(stream);
  return Status();
}

}  // namespace usetl::cri::streaming
