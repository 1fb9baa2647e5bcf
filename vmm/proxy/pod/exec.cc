#include "vmm/proxy/pod/exec.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "vmm/proxy/pod/outcome.h"
#include "vmm/proxy/worker/guest_rings.h"

namespace usetl::pod {
namespace {

constexpr size_t kPiece = 16 << 10;  // of input or output, at a time
constexpr int kPiecesAtOnce = 8;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Result<std::vector<std::string>> ParseArguments(std::string_view json) {
  const nlohmann::json list = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  const auto is_text = [](const nlohmann::json& item) { return item.is_string(); };
  if (!list.is_array() || list.empty() || !std::ranges::all_of(list, is_text)) {
    return Status(EINVAL, "a program's arguments are a list of texts, not empty");
  }
  std::vector<std::string> arguments;
  for (const nlohmann::json& item : list) {
    arguments.push_back(item.get_ref<const std::string&>());
    if (arguments.back().find('\0') != std::string::npos) {
      return Status(EINVAL, "a program's argument contains a zero byte");
    }
  }
  return arguments;
}

Exec::Exec(const ExecRecord& record, std::vector<Fd> fds, ExecOrder order, Mounts* mounts)
    : order_(std::move(order)), mounts_(mounts), session_(std::move(fds[kSessionFd])) {
  size_t next = kFirstStreamFd;
  if (record.has_in != 0) in_ = std::move(fds[next++]);
  if (record.has_out != 0) outputs_[0] = StreamWriter(std::move(fds[next++]));
  if (record.has_error != 0) outputs_[1] = StreamWriter(std::move(fds[next++]));
  order_.terminal = record.terminal != 0;
  order_.columns = record.columns;
  order_.rows = record.rows;
}

Status Exec::WriteBoot(abi::Boot* boot) const {
  boot->argc = static_cast<uint32_t>(order_.arguments.size());
  boot->envc = static_cast<uint32_t>(order_.environment.size());
  boot->strings_size = 0;
  boot->has_directory = order_.directory.empty() ? 0 : 1;
  boot->terminal = order_.terminal ? 1 : 0;
  boot->columns = order_.columns;
  boot->rows = order_.rows;
  const auto put = [boot](const std::string& text) {
    if (text.size() + 1 > sizeof boot->strings - boot->strings_size) return false;
    std::memcpy(boot->strings + boot->strings_size, text.c_str(), text.size() + 1);
    boot->strings_size += static_cast<uint32_t>(text.size() + 1);
    return true;
  };
  const bool fits = std::ranges::all_of(order_.arguments, put) &&
                    std::ranges::all_of(order_.environment, put) &&
                    (order_.directory.empty() || put(order_.directory));
  boot->magic = abi::kBootMagic;
  return fits ? Status() : Status(E2BIG, "arguments and environment exceed 60 kB");
}

void Exec::Begin(Result<std::unique_ptr<UsfLink>> link) {
  if (!link.ok()) return Fail(link.status());
  link_ = std::move(*link);
  const int flags = fcntl(link_->vmmd_fd(), F_GETFL);
  if (flags < 0 || fcntl(link_->vmmd_fd(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Fail(Status::Errno("usetl-vmmd"));
  }
  if (const Status written = WriteBoot(&link_->boot()); !written.ok()) return Fail(written);
  link_->RingForRoom();
}

void Exec::Fail(const Status& cause) {
  FailedRecord record{};
  record.header = {Type::kExecFailed, static_cast<uint32_t>(cause.message().size())};
  record.code = cause.code();
  record.reason = Reason::kError;
  Say(ipc::Bytes(record), cause.message());
  done_ = true;
}

void Exec::AddTo(std::vector<pollfd>* fds) const {
  fds->push_back({session_.get(), POLLIN, 0});
  if (link_ == nullptr) return;
  fds->push_back({link_->event_fd(), POLLIN, 0});
  if (!ended_) fds->push_back({link_->vmmd_fd(), POLLIN, 0});
  if (in_.ok() && !ended_ && window_ > 0 && !ring_full_) fds->push_back({in_.get(), POLLIN, 0});
  for (const StreamWriter& output : outputs_) output.AddTo(fds);
}

bool Exec::PrepareWait() {
  if (link_ == nullptr || ended_) return true;
  // Output that waits for its reader is not taken: the guest waits too.
  return !Flushed() || link_->PrepareWait();
}

void Exec::Turn() {
  TakeSession();
  if (done_ || link_ == nullptr) return;
  link_->EndWait(/*rung=*/true);  // perhaps
  for (StreamWriter& output : outputs_) output.Flush();
  if (!ended_) TakeInput();
  TakeRecords();
  mounts_->Answer(&asker_, [this](uint64_t id, std::span<const uint8_t> answer) {
    return link_->Post(abi::RecordType::kMountDone, id, answer);
  });
  TakeOutput();
  if (!ended_ && !done_) TakeEnd();
  if (ended_ && !done_ && Flushed()) TellEnd();
}

void Exec::TakeSession() {
  for (;;) {
    uint8_t bytes[sizeof(ResizeRecord)];
    const ssize_t count = recv(session_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
    ResizeRecord resize;
    if (count != sizeof resize) {
      done_ = true;  // the client left, or breaks the rules
      return;
    }
    std::memcpy(&resize, bytes, sizeof resize);
    if (resize.header.type != Type::kResize) continue;
    order_.columns = resize.columns;
    order_.rows = resize.rows;
    resize_ = true;
  }
  if (!resize_ || link_ == nullptr || !order_.terminal) return;
  const abi::WindowSize size{order_.columns, order_.rows, 0};
  resize_ = !link_->Post(abi::RecordType::kResize, 0, ipc::Bytes(size));
}

void Exec::TakeInput() {
  if (!in_.ok()) {
    // Without an input the program finds its end, but a terminal stays as it is.
    if (!input_ended_ && !order_.terminal) {
      input_ended_ = link_->Post(abi::RecordType::kInput, 0, {});
    }
    return;
  }
  while (window_ > 0) {
    char bytes[kPiece];
    const size_t most = std::min<size_t>(sizeof bytes, window_);
    const ssize_t count = recv(in_.get(), bytes, most, MSG_DONTWAIT | MSG_PEEK);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      input_ended_ = link_->Post(abi::RecordType::kInput, 0, {});
      if (input_ended_) in_.Reset();
      return;
    }
    const std::string_view text(bytes, static_cast<size_t>(count));
    ring_full_ = !link_->Post(abi::RecordType::kInput, 0, AsBytes(text));
    if (ring_full_) return;  // the guest rings when it has read some
    (void)!recv(in_.get(), bytes, static_cast<size_t>(count), MSG_DONTWAIT);  // what was peeked at
    window_ -= static_cast<uint32_t>(count);
  }
}

void Exec::TakeRecords() {
  for (int i = 0; i < kPiecesAtOnce && !done_; ++i) {
    abi::RecordHeader header;
    std::span<const uint8_t> payload;
    const abi::RingRead read = link_->Take(&header, &payload);
    if (read == abi::RingRead::kEmpty) return;
    if (read == abi::RingRead::kBroken) return Fail(Status(EPROTO, "the guest broke its ring"));
    if (const Status taken = OnRecord(header, payload); !taken.ok()) return Fail(taken);
  }
}

Status Exec::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<abi::RecordType>(header.type);
  abi::HostRegionEntry released;
  abi::MountClose closed;
  abi::InputTaken taken;
  if (type == abi::RecordType::kHttpRequest) {
    OnHttpRequest(header);
  } else if (type == abi::RecordType::kMountChange) {
    return mounts_->OnChange(&asker_, header.id, payload);
  } else if (type == abi::RecordType::kRelease && payload.size() == sizeof released) {
    std::memcpy(&released, payload.data(), sizeof released);
    (void)mounts_->OnRelease(&asker_, released.entry);  // else nobody's
  } else if (type == abi::RecordType::kMountClose && payload.size() == sizeof closed) {
    std::memcpy(&closed, payload.data(), sizeof closed);
    mounts_->OnClose(&asker_, closed.handle);
  } else if (type == abi::RecordType::kInputTaken && payload.size() == sizeof taken) {
    std::memcpy(&taken, payload.data(), sizeof taken);
    window_ = std::min(abi::kInputWindow, window_ + std::min(taken.bytes, abi::kInputWindow));
  }
  return Status();
}

void Exec::OnHttpRequest(const abi::RecordHeader& header) {
  constexpr std::string_view kText = "programs of exec reach no network";
  abi::HttpHead head{};
  head.error = abi::HttpError::kDenied;
  head.message_size = kText.size();
  head.entry = abi::kNoEntry;
  // A ring that is full of answers is that of a program which reads none.
  (void)!link_->Post(abi::RecordType::kHttpHead, header.id, ipc::Bytes(head), AsBytes(kText));
}

void Exec::TakeOutput() {
  char piece[kPiece];
  const Status taken = DrainOutput(
      link_.get(), &frames_, piece, [this] { return Flushed() && !done_; },
      [this](uint32_t stream, auto bytes) { Write(stream, bytes); });
  if (!taken.ok()) Fail(taken);
}

void Exec::Write(uint32_t stream, std::string_view bytes) {
  outputs_[stream == 2 && !order_.terminal ? 1 : 0].Add(bytes);
}

void Exec::TakeEnd() {
  Result<ipc::Message> message = link_->ReceiveFromVmmd();
  if (!message.ok() && message.status().code() == EAGAIN) return;
  if (!message.ok() || message->bytes.size() < sizeof end_) {
    return Fail(Status(EIO, "usetl-vmmd left while the program ran"));
  }
  std::memcpy(&end_, message->bytes.data(), sizeof end_);
  end_text_.assign(message->bytes.begin() + sizeof end_, message->bytes.end());
  ended_ = end_.reply == pool::Reply::kEnded;
}

void Exec::TellEnd() {
  TakeOutput();  // what it printed before its end
  if (Flushed() && !end_text_.empty()) Write(2, std::exchange(end_text_, {}) + "\n");
  if (!Flushed() || done_) return;
  const Outcome outcome = OfEnded(end_, end_text_, /*stopping=*/false);
  ExecExitedRecord record{};
  record.header = {Type::kExecExited, 0};
  record.code = outcome.code;
  for (StreamWriter& output : outputs_) output.Close();
  Say(ipc::Bytes(record), {});
  done_ = true;
}

void Exec::Say(std::span<const uint8_t> record, std::string_view text) {
  // A usetld that does not read its session finds it closed.
  (void)!ipc::Send(session_.get(), record, AsBytes(text)).ok();
}

}  // namespace usetl::pod
