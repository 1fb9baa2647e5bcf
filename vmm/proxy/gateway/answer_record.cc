#include "vmm/proxy/gateway/answer_record.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "vmm/base/json_text.h"
#include "vmm/proxy/gateway/header_rules.h"
#include "vmm/proxy/gateway/http_text.h"

namespace usetl::gateway {
namespace {

using nlohmann::json;

constexpr std::string_view kWhat = "the function's answer";
constexpr size_t kMaxPath = 4096;

Status Bad(std::string_view what) {
  return Status(EPROTO, std::string(kWhat) + " has " + std::string(what));
}

Status ReadHeader(const json& item, Headers* to) {
  if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
    return Bad("a header that is no pair of strings");
  }
  const auto& name = item[0].get_ref<const std::string&>();
  if (!IsHeaderName(name)) return Bad("a header whose name HTTP does not allow");
  std::optional<std::string> value = Utf8ToLatin1(item[1].get_ref<const std::string&>());
  if (!value || !IsHeaderValue(*value)) return Bad("a value that HTTP does not allow of " + name);
  std::string lower = LowerCase(name);
  if (!IsGatewaysOwn(lower)) to->emplace_back(std::move(lower), std::move(*value));
  return Status();
}

Result<AnswerHead> ReadHead(const json& http) {
  if (!http.is_object()) return Bad("no object");
  AnswerHead head;
  const json* status = Member(http, "status");
  if (status == nullptr || !status->is_number_integer() || *status < 200 || *status > 599) {
    return Bad("no status from 200 to 599");
  }
  head.status = status->get<int>();
  const json* headers = Member(http, "headers");
  if (headers == nullptr) return head;
  if (!headers->is_array() || headers->size() > kMaxHeaders) {
    return Bad("no list of up to " + std::to_string(kMaxHeaders) + " headers");
  }
  size_t bytes = 0;
  for (const json& item : *headers) {
    USETL_RETURN_IF_ERROR(ReadHeader(item, &head.headers));
    if (!head.headers.empty()) {
      bytes += head.headers.back().first.size() + head.headers.back().second.size();
    }
    if (bytes > kMaxHeaderBytes) return Bad("too many bytes of headers");
  }
  return head;
}

// The text of a member; none when there is no such member.
Result<std::optional<std::string>> TextOf(const json& http, const char* key) {
  const json* value = Member(http, key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return Bad(std::string("no text as ") + key);
  return std::optional<std::string>(value->get_ref<const std::string&>());
}

}  // namespace

Result<AnswerHead> ParseAnswerHead(std::string_view text) {
  Result<json> parsed = ParseJson(text, kWhat);
  if (!parsed.ok()) return parsed.status();
  return ReadHead(*parsed);
}

Result<AnswerRecord> ReadAnswer(const json& http) {
  Result<AnswerHead> head = ReadHead(http);
  if (!head.ok()) return head.status();
  AnswerRecord answer{std::move(*head), {}, {}};
  Result<std::optional<std::string>> text = TextOf(http, "body");
  Result<std::optional<std::string>> encoded = TextOf(http, "body_base64");
  Result<std::optional<std::string>> path = TextOf(http, "body_path");
  for (const auto* member : {&text, &encoded, &path}) {
    if (!member->ok()) return member->status();
  }
  if (text->has_value() + encoded->has_value() + path->has_value() > 1) {
    return Bad("more than one body");
  }
  if (*text) answer.body = std::move(**text);
  if (*encoded) {
    std::optional<std::string> bytes = DecodeBase64(**encoded);
    if (!bytes) return Bad("a body that is no base64");
    answer.body = std::move(*bytes);
  }
  if (*path) {
    const std::string& name = **path;
    if (name.size() > kMaxPath || name.empty() || name[0] != '/' || name.find('\0') != name.npos) {
      return Bad("no absolute path of its body");
    }
    answer.body_path = std::move(**path);
  }
  return answer;
}

}  // namespace usetl::gateway
