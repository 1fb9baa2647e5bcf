// reply.h: the JSON of kLoaded and kResult (guest/python/README.md), checked.
//
// The guest is hostile: it may send anything in place of what the agent writes.
#ifndef USETL_VMM_PROXY_POD_REPLY_H_
#define USETL_VMM_PROXY_POD_REPLY_H_

#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/status.h"
#include "vmm/proxy/gateway/request.h"

namespace usetl::pod {

struct Reply {
  bool ok = false;
  // kLoaded: a handler or an app was found; false: a script.
  bool has_handler = false;
  bool streams = false;        // kLoaded: it takes bodies of requests in pieces
  std::optional<int> exit;     // 0 to 255
  bool out_of_memory = false;  // kLoaded, and of a script: by a MemoryError that nobody caught
  // Of a failure: one line, and what belongs into the log.
  std::string cause, report;
  // kResult of an HTTP request. `body_path` names a file of the guest region in place of `body`.
  std::optional<gateway::AnswerHead> head;
  std::string body, body_path;
  bool streamed = false;  // head and body came before
};

// EPROTO: not a reply.
Result<Reply> ParseReply(std::string_view text);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_REPLY_H_
