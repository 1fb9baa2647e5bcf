// answer.h: what the agent says about a load or an event, checked.
//
// A function shares its memory with the agent and can write such a record itself: whatever goes on
// to a client has the members and types that a client may rely on, and a bounded depth.
#ifndef USETL_VMM_PROXY_WORKER_ANSWER_H_
#define USETL_VMM_PROXY_WORKER_ANSWER_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl {

// Arrays and objects within each other. Python's own encoder gives up at 1,000.
inline constexpr int kMaxAnswerDepth = 2000;

// One of, and nothing else:
//   {"ok": true, "value": ANY}       {"ok": true, "path": TEXT}       {"ok": true, "exit": 0..255}
//   {"ok": false, "error": {"type": TEXT, "message": TEXT, "traceback": TEXT}, "exit": 0..255}
// where "traceback" and the second "exit" may be missing.
Result<nlohmann::json> ParseAnswer(std::string_view text);

// The same for a value that came as a file: the text of {"ok": true, "value": TEXT}. No tree is
// built, so a hostile value costs no more memory than its bytes.
Result<std::string> WrapValue(std::string_view text);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_ANSWER_H_
