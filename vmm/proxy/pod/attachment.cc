#include "vmm/proxy/pod/attachment.h"

#include <sys/socket.h>

#include "vmm/ipc/socket.h"

namespace usetl::pod {
namespace {

constexpr size_t kMostKept = 1 << 20;  // for a client that is slow

}  // namespace

Attachment::Attachment(const ExecRecord& record, std::vector<Fd> fds)
    : session_(std::move(fds[kSessionFd])) {
  size_t next = kFirstStreamFd + (record.has_in != 0 ? 1 : 0);
  if (record.has_out != 0) outputs_[0] = StreamWriter(std::move(fds[next++]));
  if (record.has_error != 0) outputs_[1] = StreamWriter(std::move(fds[next++]));
}

void Attachment::Add(uint32_t stream, std::string_view bytes) {
  StreamWriter& output = outputs_[stream == 2 ? 1 : 0];
  if (output.kept() + bytes.size() > kMostKept) output = StreamWriter();
  output.Add(bytes);
}

void Attachment::Fail(const Status& cause) {
  FailedRecord record{};
  record.header = {Type::kExecFailed, static_cast<uint32_t>(cause.message().size())};
  record.code = cause.code();
  record.reason = Reason::kError;
  // A client that has left is not told.
  (void)!ipc::Send(
      session_.get(), ipc::Bytes(record),
      {reinterpret_cast<const uint8_t*>(cause.message().data()), cause.message().size()})
      .ok();
}

void Attachment::End(int code) {
  for (StreamWriter& output : outputs_) {
    output.Flush();
    output.Close();
  }
  ExecExitedRecord record{};
  record.header = {Type::kExecExited, 0};
  record.code = code;
  (void)!ipc::Send(session_.get(), ipc::Bytes(record)).ok();  // as above
}

void Attachment::AddTo(std::vector<pollfd>* fds) const {
  fds->push_back({session_.get(), POLLIN, 0});
  for (const StreamWriter& output : outputs_) output.AddTo(fds);
}

bool Attachment::Turn() {
  for (StreamWriter& output : outputs_) output.Flush();
  uint8_t record[sizeof(ResizeRecord)];
  const ssize_t count = recv(session_.get(), record, sizeof record, MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  return count != 0;  // a size is of no interest here
}

}  // namespace usetl::pod
