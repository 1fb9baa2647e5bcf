#include "vmm/proxy/pod/reply.h"

#include <algorithm>

#include "vmm/proxy/pod/http_text.h"
#include "vmm/base/json_text.h"

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
  to->cause = type.empty() ? message : message.empty() ? type : type + ": " + message;
  to->report = TextOf(*error, "traceback");
  if (to->report.empty()) to->report = to->cause;
  to->cause.resize(std::min(to->cause.size(), kMaxCause));
  for (char& c : to->cause) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
}

Status ReadHeader(const json& item, Headers* to) {
  if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
    return Malformed();
  }
  auto name = item[0].get<std::string>();
  const std::optional<std::string> value = Utf8ToLatin1(item[1].get_ref<const std::string&>());
  if (!IsHeaderName(name)) return Status(EPROTO, "the function's answer has a bad header name");
  if (!value || !IsHeaderValue(*value)) {
    return Status(EPROTO, "the function's answer has a bad value of header " + name);
  }
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (!IsGatewaysOwn(name)) to->emplace_back(std::move(name), *value);
  return Status();
}

Result<AnswerHead> ReadHead(const json& http) {
  if (!http.is_object()) return Malformed();
  AnswerHead head;
  const json* status = Member(http, "status");
  if (status == nullptr || !status->is_number_integer() || *status < 200 || *status > 599) {
    return Status(EPROTO, "the function's answer has no status from 200 to 599");
  }
  head.status = status->get<int>();
  const json* headers = Member(http, "headers");
  if (headers == nullptr) return head;
  if (!headers->is_array()) return Malformed();
  for (const json& item : *headers) USETL_RETURN_IF_ERROR(ReadHeader(item, &head.headers));
  return head;
}

Status ReadBody(const json& http, Reply* to) {
  to->body = TextOf(http, "body");
  to->body_path = TextOf(http, "body_path");
  const json* encoded = Member(http, "body_base64");
  if (encoded == nullptr) return Status();
  if (!encoded->is_string()) return Malformed();
  std::optional<std::string> body = DecodeBase64(encoded->get_ref<const std::string&>());
  if (!body) return Malformed();
  to->body = std::move(*body);
  return Status();
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
  Result<AnswerHead> head = ReadHead(*http);
  if (!head.ok()) return head.status();
  reply.head = std::move(*head);
  USETL_RETURN_IF_ERROR(ReadBody(*http, &reply));
  return reply;
}

Result<AnswerHead> ParseAnswerHead(std::string_view text) {
  Result<json> parsed = ParseJson(text, kWhat);
  if (!parsed.ok()) return parsed.status();
  return ReadHead(*parsed);
}

}  // namespace usetl::pod
