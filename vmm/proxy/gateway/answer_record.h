// answer_record.h: what a function answers, out of the JSON of its records.
//
// The guest is hostile: it may send anything in place of what the agent writes. What comes out can
// be sent as it is.
#ifndef USETL_VMM_PROXY_GATEWAY_ANSWER_RECORD_H_
#define USETL_VMM_PROXY_GATEWAY_ANSWER_RECORD_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "vmm/base/status.h"
#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

struct AnswerRecord {
  AnswerHead head;
  std::string body;
  std::string body_path;  // a file of the guest region in place of `body`; absolute
};

// Errors are EPROTO and say what the function did wrong.
// The JSON of kAnswerHead.
Result<AnswerHead> ParseAnswerHead(std::string_view text);
// The member "http" of kResult.
Result<AnswerRecord> ReadAnswer(const nlohmann::json& http);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_ANSWER_RECORD_H_
