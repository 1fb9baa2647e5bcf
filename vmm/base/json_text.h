// json_text.h: JSON of strangers, made safe to handle.
//
// nlohmann's own calls throw on wrong types and walk values recursively; both would end the process.
// Everything that a client, a guest or an image sent is read through these.
#ifndef USETL_VMM_BASE_JSON_TEXT_H_
#define USETL_VMM_BASE_JSON_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl {

// Arrays and objects within one another. Python's own limit is about twice as much.
inline constexpr int kMaxJsonDepth = 512;

// EPROTO "`what` is no JSON" (or "is nested too deeply"): also for text that is not UTF-8.
Status CheckJson(std::string_view text, std::string_view what);
Result<nlohmann::json> ParseJson(std::string_view text, std::string_view what);

// The member `key` of an object, null when it is missing or JSON's null.
const nlohmann::json* Member(const nlohmann::json& object, const char* key);

}  // namespace usetl

#endif  // USETL_VMM_BASE_JSON_TEXT_H_
