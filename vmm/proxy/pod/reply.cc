#include "vmm/proxy/pod/reply.h"

#include <algorithm>

#include "vmm/base/json_text.h"
#include "vmm/proxy/gateway/answer_record.h"

namespace usetl::pod {
namespace {

using nlohmann::json;

constexpr const char* kWhat = "the function's answer";
constexpr size_t kMaxCause = 1000;

Status Malformed() { return Status(EPROTO, std::string(kWhat) + " is malformed"); }

// Text of a member; none when it is missing or something else.
std::string TextOf(const json& object, const char* key) {
  const json* value = Member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

bool FlagOf(const json& object, const char* key) {
  const json* value = Member(object, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

void ReadError(const json& reply, Reply* to) {
  const json* error = Member(reply, "error");
  if (error == nullptr || !error->is_object()) {
    to->cause = to->report = "the function failed and does not say why";
    return;
  }
  const std::string type = TextOf(*error, "type"), message = TextOf(*error, "message");
  // The agent sees it in groups too, but modules have kinds of their own.
  to->out_of_memory = to->out_of_memory || type.ends_with("MemoryError");
  to->cause = type.empty() ? message : message.empty() ? type : type + ": " + message;
  to->report = TextOf(*error, "traceback");
  if (to->report.empty()) to->report = to->cause;
  to->cause.resize(std::min(to->cause.size(), kMaxCause));
  for (char& c : to->cause) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
}

}  // namespace

Result<Reply> ParseReply(std::string_view text) {
  Result<json> parsed = ParseJson(text, kWhat);
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) return Malformed();
  const json* ok = Member(*parsed, "ok");
  if (ok == nullptr || !ok->is_boolean()) return Malformed();
  Reply reply;
  reply.ok = ok->get<bool>();
  reply.has_handler = Member(*parsed, "handler") != nullptr;
  reply.streamed = FlagOf(*parsed, "streamed");
  reply.streams = FlagOf(*parsed, "streams");
  reply.out_of_memory = FlagOf(*parsed, "out_of_memory");
  if (const json* exit = Member(*parsed, "exit")) {
    if (!exit->is_number_integer()) return Malformed();
    reply.exit = static_cast<int>(exit->get<int64_t>() & 0xff);
  }
  if (!reply.ok) {
    ReadError(*parsed, &reply);
    return reply;
  }
  const json* http = Member(*parsed, "http");
  if (http == nullptr) return reply;
  Result<gateway::AnswerRecord> answer = gateway::ReadAnswer(*http);
  if (!answer.ok()) return answer.status();
  reply.head = std::move(answer->head);
  reply.body = std::move(answer->body);
  reply.body_path = std::move(answer->body_path);
  return reply;
}

}  // namespace usetl::pod
