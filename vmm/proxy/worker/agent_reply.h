// agent_reply.h: the JSON of kLoaded and kResult records (guest/python/README.md), checked.
//
// The guest is hostile: it may send anything in place of what the agent writes. What passes here
// has the members and types that clients rely on.
#ifndef USETL_VMM_PROXY_WORKER_AGENT_REPLY_H_
#define USETL_VMM_PROXY_WORKER_AGENT_REPLY_H_

#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl {

struct AgentReply {
  bool ok = false;
  std::string path;            // of the file that holds the value; empty: the value is in the reply
  bool out_of_memory = false;  // it failed, or a script ended, by a MemoryError
};

// EPROTO: not a reply.
Result<AgentReply> ParseAgentReply(std::string_view text);

// The reply of a failure with `what` behind the message of its error. EPROTO: it is none.
Result<std::string> ReplyWith(std::string_view reply, const std::string& what);

// A reply around a value that lay in a file. EPROTO: the file holds no JSON.
Result<std::string> ReplyAround(std::string_view value);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_AGENT_REPLY_H_
