#include "vmm/proxy/pod/outcome.h"

#include <signal.h>

#include "vmm/abi/control.h"

namespace usetl::pod {

Outcome Exit(int code) {
  return {code & 0xff, (code & 0xff) == 0 ? Reason::kCompleted : Reason::kError, "", ""};
}

Outcome Killed(int signal, Reason reason, std::string text) {
  return {128 + signal, reason, std::move(text), ""};
}

Outcome Lost(std::string text) { return {255, Reason::kLost, std::move(text), ""}; }

Outcome OfScript(const Reply& reply, const std::string& memory) {
  // In a container of Linux the kernel kills who comes to the limit. Here the function is told, and
  // may give something up and go on; one that does not has ended for want of memory all the same.
  // Without a refusal it asked for what no limit would allow, or raised the exception itself.
  if (reply.out_of_memory && !memory.empty()) {
    Outcome outcome = Killed(SIGKILL, Reason::kOutOfMemory, "out of memory: " + memory);
    outcome.report = "usetl: " + outcome.text;
    return outcome;
  }
  Outcome outcome = Exit(reply.exit.value_or(reply.ok ? 0 : 1));
  outcome.text = reply.cause;
  outcome.report = reply.report;
  return outcome;
}

Outcome OfEnded(const pool::ReplyRecord& ended, const std::string& text, bool stopping) {
  if (ended.lost != 0) return Killed(SIGKILL, Reason::kLost, "the USF was lost: " + text);
  Outcome outcome;
  const int signal = ended.status & 0x7f;
  if (ended.status == abi::kOutOfMemoryStatus) {
    outcome = Killed(SIGKILL, Reason::kOutOfMemory, text);
  } else if (signal != 0) {
    outcome = Killed(signal, Reason::kError, text);
  } else {
    outcome = Exit(ended.status >> 8);
  }
  // A signal that was asked for is no news.
  if (signal != 0 && !(stopping && signal == SIGTERM)) outcome.report = "usetl: " + text;
  return outcome;
}

}  // namespace usetl::pod
