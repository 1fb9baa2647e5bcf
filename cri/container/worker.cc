#include "cri/container/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "vmm/ipc/socket.h"

namespace usetl::cri {
namespace {

constexpr size_t kMaxExitText = 4096;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A record and the text behind it; false when there is less than it says.
template <typename Record>
bool Parse(std::span<const uint8_t> bytes, Record* record, std::string* text) {
  if (bytes.size() < sizeof *record) return false;
  std::memcpy(record, bytes.data(), sizeof *record);
  const size_t rest = bytes.size() - sizeof *record;
  if (record->header.text_size > rest) return false;
  text->assign(reinterpret_cast<const char*>(bytes.data()) + sizeof *record,
               record->header.text_size);
  return true;
}

using Clock = std::chrono::steady_clock;

// While a function is loaded: how often it is looked whether it is wanted still.
constexpr std::chrono::milliseconds kLook{50};
// For a worker that was told to end: longer than it waits for disks.
constexpr std::chrono::seconds kTakeBack{10};

bool WaitReadable(int socket, std::chrono::milliseconds limit) {
  pollfd state{socket, POLLIN, 0};
  return poll(&state, 1, static_cast<int>(limit.count())) > 0;
}

// The monitor waits with a lock of all containers held.
constexpr std::chrono::milliseconds kMostWait{50};

Status LimitWait(int socket, std::chrono::milliseconds limit) {
  const timeval wait{static_cast<time_t>(limit.count() / 1000),
                     static_cast<suseconds_t>(limit.count() % 1000 * 1000)};
  if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
      setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0) {
    return Status();
  }
  return Status::Errno("limiting the wait for a worker");
}

// Text too large for a message.
Result<Fd> AsFile(std::string_view text) {
  Fd file(memfd_create("usetl-start", MFD_CLOEXEC));
  if (!file.ok()) return Status::Errno("memfd_create");
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Status::Errno("writing a start record");
  }
  return file;
}

Status SendJoin(int socket, const WorkerStart& start) {
  Result<Fd> control = ipc::Listen(start.control_socket);
  if (!control.ok()) return control.status();
  const Fd exit(open(start.exit_file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!exit.ok()) return Status::Errno("create " + start.exit_file);
  // Now, so that a disk that has become full cannot keep an exit from being written.
  const int room = posix_fallocate(exit.get(), 0, sizeof(pod::ExitRecord) + kMaxExitText);
  if (room != 0) {
    return Status(room, "make room in " + start.exit_file + ": " + std::strerror(room));
  }
  pod::JoinRecord join{};
  join.version = pod::kVersion;
  join.cgroups = static_cast<uint32_t>(start.cgroups.size());
  join.usf_cgroups = start.usf_cgroups;
  const Identity& identity = start.identity;
  join.directories = static_cast<uint32_t>(start.mounted_directories.size());
  join.uid = identity.uid;
  join.gid = identity.gid;
  join.capabilities = identity.capabilities;
  if (identity.groups.size() > std::size(join.group)) return Status(E2BIG, "too many groups");
  join.groups = static_cast<uint32_t>(identity.groups.size());
  std::ranges::copy(identity.groups, join.group);
  join.oom_score = start.oom_score;
  std::vector<int> fds(pod::kJoinFdCount);
  fds[pod::kNetworkFd] = start.network_namespace;
  fds[pod::kControlFd] = control->get();
  fds[pod::kExitFd] = exit.get();
  fds.insert(fds.end(), start.cgroups.begin(), start.cgroups.end());
  fds.insert(fds.end(), start.mounted_directories.begin(), start.mounted_directories.end());
  return ipc::Send(socket, ipc::Bytes(join), {}, fds);
}

Status SendStart(int socket, const WorkerStart& start) {
  pod::StartRecord record{};
  record.has_log = start.log >= 0;
  record.packs = static_cast<uint32_t>(start.packs.size());
  record.has_contents = start.contents >= 0;
  record.mounted_files = static_cast<uint32_t>(start.writable_files.size());
  record.text_size = static_cast<uint32_t>(start.text.size());
  std::vector<int> fds;
  if (start.log >= 0) fds.push_back(start.log);
  fds.insert(fds.end(), start.packs.begin(), start.packs.end());
  if (start.contents >= 0) fds.push_back(start.contents);
  fds.insert(fds.end(), start.writable_files.begin(), start.writable_files.end());
  constexpr size_t kRoom = ipc::kMaxMessage - sizeof record;
  if (start.text.size() <= kRoom) {
    return ipc::Send(socket, ipc::Bytes(record), AsBytes(start.text), fds);
  }
  Result<Fd> file = AsFile(start.text);
  if (!file.ok()) return file.status();
  fds.push_back(file->get());
  return ipc::Send(socket, ipc::Bytes(record), {}, fds);
}

Status Unexpected() { return Status(EPROTO, "worker: unexpected answer to a start"); }

}  // namespace

Result<Worker> Worker::Launch(const WorkerStart& start, const Launching& launching) {
  Result<Fd> socket = ipc::Connect(start.pods_socket, start.limit);
  if (!socket.ok()) {
    const Status& why = socket.status();
    const Status lost = why.code() == ENOENT ? Status(ECONNREFUSED, why.message()) : why;
    return lost.Annotate("usetl-proxy");
  }
  Worker worker;
  worker.socket_ = std::move(*socket);
  Status status = LimitWait(worker.fd(), start.limit);
  if (status.ok()) status = SendJoin(worker.fd(), start);
  if (status.ok()) status = SendStart(worker.fd(), start);
  if (status.ok()) status = worker.AwaitStarted(start.limit, launching);
  // From now on it has nothing to say that takes long, and reads what it is told.
  if (status.ok()) status = LimitWait(worker.fd(), kMostWait);
  if (status.ok()) return worker;
  unlink(start.control_socket.c_str());
  unlink(start.exit_file.c_str());
  return status;
}

Result<Worker> Worker::Reconnect(const std::string& control_socket, const ProcessMark& mark) {
  Worker worker;
  // Not from the worker: by now a function may have taken it over, and name whom it wants killed.
  worker.mark_ = mark;
  if (mark.started != 0) {
    Result<Fd> process = OpenProcess(mark);
    if (!process.ok()) return process.status().Annotate("the worker of the container");
    worker.process_ = std::move(*process);
  }
  Result<Fd> socket = ipc::Connect(control_socket);
  if (!socket.ok()) {
    worker.Kill();  // whoever does not listen any more has ended, or hides
    return socket.status();
  }
  worker.socket_ = std::move(*socket);
  // It greets at once, unless it is just ending.
  Status status = LimitWait(worker.fd(), std::chrono::seconds(2));
  if (status.ok()) {
    const Result<Answer> answer = worker.ReceiveAnswer();
    status = answer.status();
    if (answer.ok() && *answer != Answer::kStarted) status = Unexpected();
  }
  if (status.ok()) status = LimitWait(worker.fd(), kMostWait);
  if (status.ok()) return worker;
  worker.Kill();
  return status;
}

void Worker::StopOrphan(const std::string& control_socket) {
  Worker worker;
  if (Result<Fd> socket = ipc::Connect(control_socket, kMostWait); socket.ok()) {
    worker.socket_ = std::move(*socket);
    (void)!worker.Stop(std::chrono::milliseconds(0)).ok();  // it ends by itself, or has ended
  }
}

Status Worker::AwaitStarted(std::chrono::milliseconds limit, const Launching& launching) {
  const auto& [taken, cancelled, out_of_memory] = launching;
  for (const auto end = Clock::now() + limit; !cancelled();) {
    if (Clock::now() >= end) {
      TakeBack();
      return Status(ETIMEDOUT, "the function was not ready within its time");
    }
    if (!WaitReadable(fd(), kLook)) continue;
    const Result<Answer> answer = ReceiveAnswer();
    if (!answer.ok()) {
      Kill();  // one that has failed has given everything back before it said so
      if (out_of_memory_) out_of_memory();
      return answer.status();
    }
    if (*answer == Answer::kTaken) {
      if (const Status known = taken(mark_); !known.ok()) {
        TakeBack();
        return known;
      }
      continue;
    }
    if (!cancelled()) return Status();
  }
  TakeBack();
  return Status(ECANCELED, "the function was killed while it was loaded");
}

Result<Worker::Answer> Worker::Take(ipc::Message message) {
  // Once: later on a function may have taken the worker over, and name whom it wants to be killed.
  if (process_.ok() || message.bytes.size() != sizeof(pod::Header) || message.fds.size() != 1) {
    return Unexpected();
  }
  process_ = std::move(message.fds[0]);  // so that it can be killed, whatever fails
  const Result<ProcessMark> mark = MarkOf(process_);
  // One that has failed already, and ended, says why in its next message.
  const bool ended = mark.status().code() == ESRCH;
  if (!mark.ok() && !ended) return mark.status().Annotate("the worker of the container");
  if (!ended) mark_ = *mark;
  return Answer::kTaken;
}

void Worker::TakeBack() {
  // Nobody who has taken the connection: whoever will finds it closed.
  while (!process_.ok() && WaitReadable(fd(), std::chrono::milliseconds(0)) &&
         ReceiveAnswer().ok()) {
  }
  if (!process_.ok()) return;
  if (Stop(std::chrono::milliseconds(0)).ok()) {
    // Until it has closed its end: whatever it says may be said by a function.
    for (const auto end = Clock::now() + kTakeBack; Clock::now() < end;) {
      if (WaitReadable(fd(), kLook) && !ipc::Receive(fd()).ok()) break;
    }
  }
  Kill();
}

Result<Worker::Answer> Worker::ReceiveAnswer() {
  Result<ipc::Message> message = ipc::Receive(fd());
  if (!message.ok()) {
    const int code = message.status().code();
    if (code == EAGAIN) return Status(ETIMEDOUT, "the function was not ready within its time");
    return message.status().Annotate("the worker of the container");
  }
  pod::Header header;
  if (message->bytes.size() < sizeof header) return Status(EPROTO, "worker: short message");
  std::memcpy(&header, message->bytes.data(), sizeof header);
  if (header.type == pod::Type::kTaken) return Take(std::move(*message));
  std::string text;
  if (header.type == pod::Type::kStarted && Parse(message->bytes, &started_, &text)) {
    if (mark_.pid > 0 && started_.worker == mark_.pid) return Answer::kStarted;
    return Status(EPROTO, "worker: it names another process than its own");
  }
  pod::FailedRecord failed;
  if (header.type == pod::Type::kFailed && Parse(message->bytes, &failed, &text)) {
    out_of_memory_ = failed.reason == pod::Reason::kOutOfMemory;
    return Status(failed.code != 0 ? failed.code : EIO, text);
  }
  return Unexpected();
}

Status Worker::Stop(std::chrono::milliseconds grace) {
  pod::StopRecord stop{};
  stop.header.type = pod::Type::kStop;
  stop.grace_ms = static_cast<uint32_t>(grace.count());
  return ipc::Send(fd(), ipc::Bytes(stop));
}

Status Worker::ReopenLog(int log) {
  const pod::Header header{pod::Type::kReopenLog, 0};
  const int fds[] = {log};
  return ipc::Send(fd(), ipc::Bytes(header), {}, fds);
}

Status Worker::Count(int page) {
  const pod::Header header{pod::Type::kCount, 0};
  const int fds[] = {page};
  return ipc::Send(fd(), ipc::Bytes(header), {}, fds);
}

Status Worker::Exec(pod::ExecRecord record, const std::string& arguments,
                    const std::vector<Fd>& fds) {
  record.header = {pod::Type::kExec, static_cast<uint32_t>(arguments.size())};
  std::vector<int> numbers;
  for (const Fd& fd : fds) numbers.push_back(fd.get());
  const std::span text(reinterpret_cast<const uint8_t*>(arguments.data()), arguments.size());
  return ipc::Send(socket_.get(), ipc::Bytes(record), text, numbers);
}

Status Worker::UpdateMount(const std::string& json, const Fd& contents) {
  Result<Fd> file = AsFile(json);
  if (!file.ok()) return file.status();
  pod::UpdateMountRecord update{};
  update.header.type = pod::Type::kUpdateMount;
  update.json_size = static_cast<uint32_t>(json.size());
  update.has_contents = contents.ok();
  std::vector<int> fds = {file->get()};
  if (contents.ok()) fds.push_back(contents.get());
  return ipc::Send(fd(), ipc::Bytes(update), {}, fds);
}

void Worker::Kill() {
  if (!process_.ok()) return;
  if (syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0) == 0) return;
  if (errno == ESRCH) return;  // it has ended
  spdlog::warn("the worker {}: {}", mark_.pid, Status::Errno("pidfd_send_signal").message());
}

Result<std::optional<ContainerExit>> Worker::Receive() {
  Result<ipc::Message> message = ipc::Receive(fd());
  if (!message.ok()) return message.status();
  ContainerExit exit;
  if (Parse(message->bytes, &exit.record, &exit.text) &&
      exit.record.header.type == pod::Type::kExited) {
    return std::optional(std::move(exit));
  }
  return std::optional<ContainerExit>();
}

std::optional<ContainerExit> ReadExitFile(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  uint8_t bytes[sizeof(pod::ExitRecord) + kMaxExitText];
  const ssize_t size = read(file.get(), bytes, sizeof bytes);
  ContainerExit exit;
  if (size <= 0 || !Parse({bytes, static_cast<size_t>(size)}, &exit.record, &exit.text) ||
      exit.record.header.type != pod::Type::kExited) {
    return std::nullopt;
  }
  return exit;
}

}  // namespace usetl::cri
