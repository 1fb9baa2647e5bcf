#include "cri/container/exec.h"

#include <sys/socket.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "cri/server/node.h"
#include "vmm/ipc/socket.h"

namespace usetl::cri {
namespace {

// Joined to a program by its worker (vmm/proxy/pod/exec.h). The session is the program's life.
class WorkerProcess final : public Process {
 public:
  explicit WorkerProcess(Fd session) : session_(std::move(session)) {}

  Status Resize(uint16_t columns, uint16_t rows) override {
    pod::ResizeRecord record{};
    record.header.type = pod::Type::kResize;
    record.columns = columns;
    record.rows = rows;
    // A worker that does not read misses a size; nobody waits for it.
    if (send(session_.get(), &record, sizeof record, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
      return Status();
    return Status::Errno("resize");
  }
  int exit_fd() const override { return session_.get(); }
  Result<int> Exit() override {
    Result<ipc::Message> message = ipc::Receive(session_.get());
    if (!message.ok()) return Status(ECONNRESET, "the container ended while the program ran");
    pod::Header header;
    if (message->bytes.size() < sizeof header) return Malformed();
    std::memcpy(&header, message->bytes.data(), sizeof header);
    if (header.type == pod::Type::kExecExited) {
      pod::ExecExitedRecord record;
      if (message->bytes.size() < sizeof record) return Malformed();
      std::memcpy(&record, message->bytes.data(), sizeof record);
      return record.code;
    }
    pod::FailedRecord record;
    if (header.type != pod::Type::kExecFailed || message->bytes.size() < sizeof record) {
      return Malformed();
    }
    std::memcpy(&record, message->bytes.data(), sizeof record);
    return Status(record.code,
                  std::string(message->bytes.begin() + sizeof record, message->bytes.end()));
  }

 private:
  static Status Malformed() { return Status(EPROTO, "the container's worker sent nonsense"); }
  Fd session_;
};

// The program's end of a stream; `own` is ours.
Result<Fd> NewStream(int type, Fd* own) {
  int pair[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0) return Status::Errno("socketpair");
  *own = Fd(pair[0]);
  return Fd(pair[1]);
}

}  // namespace

Result<std::unique_ptr<Process>> LaunchProcess(Node& node, const std::string& container_id,
                                               const ProcessRequest& request) {
  std::vector<Fd> fds;
  Fd session;
  Result<Fd> far_session = NewStream(SOCK_SEQPACKET, &session);
  if (!far_session.ok()) return far_session.status();
  fds.push_back(std::move(*far_session));
  auto process = std::make_unique<WorkerProcess>(std::move(session));
  const struct {
    bool wanted;
    Fd* own;
  } streams[] = {
      {request.in, &process->in}, {request.out, &process->out}, {request.err, &process->err}};
  for (const auto& stream : streams) {
    if (!stream.wanted) continue;
    Result<Fd> far = NewStream(SOCK_STREAM, stream.own);
    if (!far.ok()) return far.status();
    fds.push_back(std::move(*far));
  }
  pod::ExecRecord record{};
  record.terminal = request.tty;
  record.has_in = request.in;
  record.has_out = request.out;
  record.has_error = request.err;
  const nlohmann::json arguments = request.argv;
  // What is no UTF-8 cannot be said in JSON, and no program's argument needs it.
  const std::string text = arguments.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const Status sent = node.monitor->Exec(container_id, record, text, fds);
  if (!sent.ok()) return sent;
  return std::unique_ptr<Process>(std::move(process));
}

}  // namespace usetl::cri
