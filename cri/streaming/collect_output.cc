#include "cri/streaming/collect_output.h"

#include <algorithm>

#include "cri/streaming/inlet.h"
#include "cri/streaming/poller.h"

namespace usetl::cri::streaming {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kAtOnce = 32 << 10;

// Reads on; closes `fd` at its end.
Status Collect(Fd* fd, std::string* to, size_t* left) {
  const Result<std::string> part = ReadSome(fd->get(), kAtOnce);
  if (!part.ok()) {
    const int code = part.status().code();
    if (code != EAGAIN && code != EINTR) fd->Reset();  // as much as its end
    return Status();
  }
  if (part->empty()) fd->Reset();
  const size_t kept = std::min(part->size(), *left);
  to->append(*part, 0, kept);
  *left -= kept;
  return Status();
}

}  // namespace

Result<Output> CollectOutput(Process* process, std::optional<milliseconds> limit,
                             const std::function<bool()>& given_up) {
  constexpr milliseconds kAskAfter{200};
  const Clock::time_point due = limit ? Clock::now() + *limit : Clock::time_point::max();
  Output output;
  size_t left = kMaxCollected;
  bool exited = false;
  for (const Fd* fd : {&process->out, &process->err}) {
    if (fd->ok()) USETL_RETURN_IF_ERROR(SetNonblocking(fd->get()));
  }
  while (!exited || process->out.ok() || process->err.ok()) {
    if (given_up()) return Status(ECANCELED, "the caller gave up");
    const auto rest = std::chrono::duration_cast<milliseconds>(due - Clock::now());
    if (rest.count() <= 0) {
      return Status(ETIMEDOUT, "the command did not end within " +
                                   std::to_string(limit.value_or(rest).count()) +
                                   " ms and was killed");
    }
    Poller poller;
    if (process->out.ok()) {
      poller.Watch(process->out.get(), POLLIN,
                   [&] { return Collect(&process->out, &output.out, &left); });
    }
    if (process->err.ok()) {
      poller.Watch(process->err.get(), POLLIN,
                   [&] { return Collect(&process->err, &output.err, &left); });
    }
    if (!exited) {
      poller.Watch(process->exit_fd(), POLLIN, [&] {
        exited = true;
        return Status();
      });
    }
    if (const Result<bool> waited = poller.Wait(std::min(kAskAfter, rest)); !waited.ok())
      return waited.status();
  }
  const Result<int> code = process->Exit();
  if (!code.ok()) return code.status();
  output.exit_code = *code;
  return output;
}

}  // namespace usetl::cri::streaming
