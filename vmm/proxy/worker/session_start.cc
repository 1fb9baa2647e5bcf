// From the client's request to the records that load the function.
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "vmm/proxy/worker/session.h"

namespace usetl {
namespace {

constexpr uint64_t kMaxInput = 32 << 20;  // function file, standard input
constexpr size_t kMaxInline = 16 << 10;   // of an event within its record
constexpr uint64_t kLoadId = 1, kInvokeId = 2;
constexpr time_t kRequestSeconds = 10;  // a client connects to ask, not to wait

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Status LimitWait(int socket, int option, time_t seconds) {
  const timeval limit{seconds, 0};
  if (setsockopt(socket, SOL_SOCKET, option, &limit, sizeof limit) == 0) return Status();
  return Status::Errno("limiting how long a client is waited for");
}

template <size_t N>
bool CopyText(const std::string& text, char (&field)[N]) {
  if (text.size() >= N) return false;
  std::memcpy(field, text.c_str(), text.size() + 1);
  return true;
}

// 32 hex digits.
std::string NewRequestId() {
  uint64_t words[2];
  while (getrandom(words, sizeof words, 0) != sizeof words) {
  }
  char text[33];
  std::snprintf(text, sizeof text, "%016lx%016lx", words[0], words[1]);
  return text;
}

// Interrupts this process, which has one thread, when `after` is over: poll() may call a descriptor
// readable whose read() blocks, as one that somebody else reads too. Where that read is not even
// interrupted (FUSE), the next signal finds no handler and is the end of the worker.
class ReadAlarm {
 public:
  explicit ReadAlarm(std::chrono::milliseconds after) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART
    sigaction(SIGALRM, &action, nullptr);
    const auto count = after.count();
    const itimerval timer{{1, 0}, {count / 1000, count % 1000 * 1000 + 1}};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~ReadAlarm() {
    const itimerval off{};
    setitimer(ITIMER_REAL, &off, nullptr);
  }
  ReadAlarm(const ReadAlarm&) = delete;
  ReadAlarm& operator=(const ReadAlarm&) = delete;
};

}  // namespace

void Session::Rehearse() {
  // The next pages of heap and stack, which a fork leaves unmapped. Freed memory stays mapped.
  constexpr size_t kHeap = 512 << 10;
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  std::string warm(kHeap, '\0');
  volatile char stack[kHeap / 2];
  for (size_t i = 0; i < sizeof stack; i += abi::kPageSize) stack[i] = 0;
  // The code of the two.
  const nlohmann::json text = nlohmann::json::parse(R"({"a":["b",1,true,null,{"c":1.5}]})");
  warm = text.dump();
}

// All of a file, or of a pipe for as long as the client stays and the function's time lasts.
Result<std::string> Session::ReadAll(int fd, const char* what) {
  std::string text;
  char buffer[64 << 10];
  const std::chrono::milliseconds limit(request_.timeout_ms);
  const auto end = Clock::now() + limit;
  const ReadAlarm alarm(limit);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) {
      return Status(ETIMEDOUT, std::string(what) +
                                   " did not end within the time limit; give more --timeout, or "
                                   "</dev/null if the function reads none");
    }
    pollfd fds[2] = {{fd, POLLIN, 0}, {client_.get(), POLLIN, 0}};
    const int timeout = static_cast<int>(std::min<int64_t>(left.count() + 1, 1000));
    if (poll(fds, 2, timeout) < 0 && errno != EINTR) return Status::Errno("poll");
    if (fds[0].revents == 0) {
      if (fds[1].revents != 0) return Status(ECANCELED, "the client left");
      continue;
    }
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return Status::Errno(std::string("read ") + what);
    if (text.size() + n > kMaxInput) return Status(EFBIG, std::string(what) + " exceeds 32 MB");
    text.append(buffer, n);
  }
}

Status Session::ReadRequest() {
  USETL_RETURN_IF_ERROR(LimitWait(client_.get(), SO_RCVTIMEO, kRequestSeconds));
  Result<ipc::Message> message = ipc::Receive(client_.get());
  if (!message.ok()) return message.status().Annotate("the request to run a function");
  Result<RunRequest> request = ParseRunRequest(
      {reinterpret_cast<const char*>(message->bytes.data()), message->bytes.size()});
  if (!request.ok()) return request.status();
  request_ = std::move(*request);
  if (message->fds.size() != (request_.has_stdin ? 2u : 1u)) {
    return Status(EINVAL, "the request to run a function comes with the wrong number of files");
  }
  // One that reads no output may block us as long as its function may run, not for ever.
  USETL_RETURN_IF_ERROR(
      LimitWait(client_.get(), SO_SNDTIMEO, static_cast<time_t>(request_.timeout_ms / 1000 + 1)));
  // Before a USF is claimed: standard input may come slowly.
  Result<std::string> code = ReadAll(message->fds[0].get(), "the function");
  if (!code.ok()) return code.status();
  code_ = std::move(*code);
  if (request_.has_stdin) {
    Result<std::string> input = ReadAll(message->fds[1].get(), "standard input");
    if (!input.ok()) return input.status();
    stdin_ = std::move(*input);
  }
  mark_ = Clock::now();
  return Status();
}

Status Session::Prepare() {
  for (const std::string& origin : request_.allow) {
    USETL_RETURN_IF_ERROR(policy_.Allow(origin));
  }
  pool::ClaimRequest claim{};
  claim.request = pool::Request::kClaim;
  claim.wait_ms = 10'000;
  claim.ram_limit = request_.memory;
  if (!CopyText(request_.runtime, claim.runtime) || !CopyText(request_.tenant, claim.tenant)) {
    return Status(EINVAL, "the name of the runtime or tenant is too long");
  }
  const auto slow = [this] {
    Tell(
        run::Type::kLog, 0,
        "usetl: no USF of runtime " + request_.runtime + " is free: waiting for one, 10 s at most");
  };
  Result<std::unique_ptr<UsfLink>> link =
      UsfLink::Claim(std::move(vmmd_), claim, {}, {}, nullptr, -1, slow);
  if (!link.ok()) return link.status();
  link_ = std::move(*link);
  Mark("claim");
  deadline_ = Clock::now() + std::chrono::milliseconds(request_.timeout_ms);
  return AddInput();
}

Status Session::AddInput() {
  HostRegion& region = link_->region();
  const std::string path = "/function/" + request_.file;
  USETL_RETURN_IF_ERROR(region.AddFile(path, AsBytes(code_), 0644));
  std::string stdin_path, event_path;
  if (request_.has_stdin) {
    stdin_path = "/run/stdin";
    USETL_RETURN_IF_ERROR(region.AddFile(stdin_path, AsBytes(stdin_), 0444));
  }
  if (request_.event.size() > kMaxInline) {
    event_path = "/run/event.json";
    USETL_RETURN_IF_ERROR(region.AddFile(event_path, AsBytes(request_.event), 0444));
  }
  code_.clear();
  stdin_.clear();
  const std::string load = LoadRecord(request_, path, stdin_path);
  if (!link_->Post(abi::RecordType::kLoad, kLoadId, AsBytes(load))) {
    return Status(E2BIG, "arguments and environment exceed 32 kB");
  }
  // At once: the guest goes on by itself when the load succeeds. After a failed one it has nothing
  // to invoke, says so, and nobody listens.
  const RunContext context{NewRequestId(),
                           std::chrono::duration<double>(deadline_.time_since_epoch()).count(),
                           link_->memory_limit() >> 20};
  const std::string invocation = InvokeRecord(request_, event_path, context);
  if (link_->Post(abi::RecordType::kInvoke, kInvokeId, AsBytes(invocation))) return Status();
  return Status(E2BIG, "the event does not fit the ring");
}

}  // namespace usetl
