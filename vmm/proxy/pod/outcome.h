// outcome.h: how a container ended, in the words of container runtimes.
#ifndef USETL_VMM_PROXY_POD_OUTCOME_H_
#define USETL_VMM_PROXY_POD_OUTCOME_H_

#include <string>

#include "vmm/pool/protocol.h"
#include "vmm/proxy/pod/protocol.h"
#include "vmm/proxy/pod/reply.h"

namespace usetl::pod {

struct Outcome {
  int code = 0;  // 0 to 255; 128 + signal
  Reason reason = Reason::kCompleted;
  std::string text;    // one line; may be empty
  std::string report;  // for the log, when the function did not write it itself
};

Outcome Exit(int code);
// By a signal, or by what stands for one.
Outcome Killed(int signal, Reason reason, std::string text);
// 255: the container is gone and nobody knows how far it came.
Outcome Lost(std::string text);
// kResult of a script. `memory`: that its limit has refused it memory; empty: it has not.
Outcome OfScript(const Reply& reply, const std::string& memory);
// kEnded: the guest's process is over. `stopping`: it was asked to end.
Outcome OfEnded(const pool::ReplyRecord& ended, const std::string& text, bool stopping);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_OUTCOME_H_
