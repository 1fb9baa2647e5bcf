#include "vmm/proxy/pod/control.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include <cstdio>
#include <cstring>

#include "vmm/ipc/socket.h"

namespace usetl::pod {
namespace {

constexpr size_t kMaxText = 4096;  // of a cause; the log has the whole story
constexpr int kStartError = 128;   // as container runtimes have it

int64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void NeverBlock(const Fd& fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    std::perror("usetl-proxy: a container's control socket");
  }
}

}  // namespace

Control::Control(Fd connection, Fd listener, Fd exit_file, ControlHandlers handlers)
    : connection_(std::move(connection)),
      listener_(std::move(listener)),
      exit_file_(std::move(exit_file)),
      handlers_(std::move(handlers)) {
  NeverBlock(connection_);
  NeverBlock(listener_);
}

void Control::Send(std::span<const uint8_t> record, std::string_view text) {
  if (!connection_.ok()) return;
  const std::span body(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  if (!ipc::Send(connection_.get(), record, body).ok()) connection_.Reset();
}

void Control::OnListener() {
  Fd next(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!next.ok()) return;  // it left already, or comes again
  connection_ = std::move(next);
  if (started_) Send(ipc::Bytes(*started_), {});
}

void Control::OnConnection() {
  Result<ipc::Message> message = ipc::Receive(connection_.get());
  if (message.ok()) return OnMessage(message->bytes, std::move(message->fds));
  if (message.status().code() != EAGAIN) connection_.Reset();
}

void Control::OnMessage(std::span<const uint8_t> bytes, std::vector<Fd> fds) {
  Header header;
  if (bytes.size() >= sizeof header) {
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.type == Type::kStop && bytes.size() == sizeof(StopRecord)) {
      StopRecord stop;
      std::memcpy(&stop, bytes.data(), sizeof stop);
      return handlers_.stop(stop.grace_ms);
    }
    if (header.type == Type::kExec && bytes.size() >= sizeof(ExecRecord)) {
      ExecRecord exec;
      std::memcpy(&exec, bytes.data(), sizeof exec);
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof exec,
                                  bytes.size() - sizeof exec);
      const size_t streams = (exec.has_in != 0) + (exec.has_out != 0) + (exec.has_error != 0);
      if (text.size() == header.text_size && fds.size() == kFirstStreamFd + streams) {
        return handlers_.exec(exec, text, std::move(fds));
      }
    }
    if (header.type == Type::kUpdateMount && bytes.size() == sizeof(UpdateMountRecord)) {
      UpdateMountRecord update;
      std::memcpy(&update, bytes.data(), sizeof update);
      if (update.has_contents <= 1 && fds.size() == 1 + update.has_contents) {
        return handlers_.update_mount(update, std::move(fds));
      }
    }
    if (header.type == Type::kReopenLog && fds.size() == 1) {
      return handlers_.reopen_log(std::move(fds[0]));
    }
    if (header.type == Type::kCount && fds.size() == 1) return handlers_.count(std::move(fds[0]));
  }
  std::fprintf(stderr, "usetl-proxy: usetld sent what no container understands\n");
  connection_.Reset();
}

void Control::Started(const StartedRecord& record) {
  started_ = record;
  started_->header = {Type::kStarted, 0};
  Send(ipc::Bytes(*started_), {});
}

void Control::WriteFailed(Reason reason, std::string_view text) {
  const bool memory = reason == Reason::kOutOfMemory;
  ExitRecord exit{};
  exit.code = memory ? 128 + SIGKILL : kStartError;
  exit.reason = memory ? reason : Reason::kError;
  WriteExited(exit, text);
}

void Control::TellFailed(int code, std::string_view text) {
  text = text.substr(0, kMaxText);
  FailedRecord record{};
  record.header = {Type::kFailed, static_cast<uint32_t>(text.size())};
  record.code = code;
  record.reason = exit_.reason;
  Send(ipc::Bytes(record), text);
}

void Control::WriteExited(ExitRecord record, std::string_view text) {
  exit_ = record;
  exit_text_ = text.substr(0, kMaxText);
  exit_.header = {Type::kExited, static_cast<uint32_t>(exit_text_.size())};
  exit_.finished_at = RealtimeNs();
  // In one call: whoever reads the file sees nothing or all of it.
  std::string bytes(reinterpret_cast<const char*>(&exit_), sizeof exit_);
  bytes.append(exit_text_);
  if (pwrite(exit_file_.get(), bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size())) {
    std::perror("usetl-proxy: a container's exit file");
  }
}

void Control::TellExited() { Send(ipc::Bytes(exit_), exit_text_); }

}  // namespace usetl::pod
