#include "vmm/proxy/worker/agent_reply.h"

#include <limits>

#include "vmm/base/json_text.h"

namespace usetl {
namespace {

using nlohmann::json;

constexpr const char* kWhat = "the function's answer";

bool IsExitStatus(const json& value) {
  return value.is_number_integer() && value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

bool IsError(const json& error) {
  if (!error.is_object()) return false;
  for (const char* key : {"type", "message", "traceback", "file"}) {
    const json* text = Member(error, key);
    if (text != nullptr && !text->is_string()) return false;
  }
  // Clients read these two without a look: null is not as good as nothing.
  for (const char* key : {"type", "message"}) {
    if (error.contains(key) && error[key].is_null()) return false;
  }
  const json* line = Member(error, "line");
  return line == nullptr || line->is_number_integer();
}

// Modules have kinds of their own, with its name at the end of theirs.
bool IsMemoryError(const json* error) {
  const json* type = error == nullptr ? nullptr : Member(*error, "type");
  return type != nullptr && type->get_ref<const std::string&>().ends_with("MemoryError");
}

}  // namespace

Result<AgentReply> ParseAgentReply(std::string_view text) {
  Result<json> parsed = ParseJson(text, kWhat);
  if (!parsed.ok()) return parsed.status();
  const Status bad(EPROTO, std::string(kWhat) + " is malformed");
  if (!parsed->is_object()) return bad;
  const json* ok = Member(*parsed, "ok");
  if (ok == nullptr || !ok->is_boolean()) return bad;
  // A null in these places is what clients would take for a value.
  for (const char* key : {"exit", "error", "path"}) {
    if (parsed->contains(key) && Member(*parsed, key) == nullptr) return bad;
  }
  const json* exit = Member(*parsed, "exit");
  if (exit != nullptr && !IsExitStatus(*exit)) return bad;
  const json* error = Member(*parsed, "error");
  if (error != nullptr && !IsError(*error)) return bad;
  AgentReply reply{.ok = ok->get<bool>()};
  const json* memory = Member(*parsed, "out_of_memory");
  reply.out_of_memory =
      IsMemoryError(error) || (memory != nullptr && memory->is_boolean() && memory->get<bool>());
  if (const json* path = Member(*parsed, "path")) {
    if (!reply.ok || !path->is_string()) return bad;
    reply.path = path->get_ref<const std::string&>();
    if (reply.path.empty()) return bad;
  }
  return reply;
}

Result<std::string> ReplyWith(std::string_view text, const std::string& what) {
  const Result<AgentReply> checked = ParseAgentReply(text);
  if (!checked.ok()) return checked.status();
  Result<json> reply = ParseJson(text, kWhat);
  if (!reply.ok()) return reply.status();
  const json* error = Member(*reply, "error");
  if (error == nullptr) return Status(EPROTO, std::string(kWhat) + " is malformed");
  const json* message = Member(*error, "message");
  std::string whole = message == nullptr ? "" : message->get<std::string>();
  whole += (whole.empty() ? "" : "; ") + what;
  (*reply)["error"]["message"] = std::move(whole);
  return reply->dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<std::string> ReplyAround(std::string_view value) {
  USETL_RETURN_IF_ERROR(CheckJson(value, kWhat));
  std::string reply = "{\"ok\":true,\"value\":";
  return reply.append(value).append("}");
}

}  // namespace usetl
