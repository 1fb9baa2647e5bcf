#include "vmm/proxy/worker/answer.h"

#include <algorithm>

namespace usetl {
namespace {

using nlohmann::json;

// Brackets that are open at once. What is no JSON at all is left to the parser.
int Depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

Status CheckDepth(std::string_view text) {
  if (Depth(text) <= kMaxAnswerDepth) return Status();
  return Status(EPROTO, "the function's answer is nested deeper than " +
                            std::to_string(kMaxAnswerDepth) + " levels");
}

Status Malformed(const char* what) {
  return Status(EPROTO, std::string("the function's answer is malformed: ") + what);
}

Status CopyExit(const json& from, json* to) {
  if (!from.contains("exit")) return Status();
  if (!from["exit"].is_number_integer()) return Malformed("exit is no integer");
  (*to)["exit"] = from["exit"].get<int64_t>() & 0xff;
  return Status();
}

Result<json> ParseError(const json& from) {
  json error = {{"type", "Error"}, {"message", ""}};
  if (!from.is_object()) return Malformed("error is no object");
  for (const char* name : {"type", "message", "traceback"}) {
    const auto it = from.find(name);
    if (it == from.end()) continue;
    if (!it->is_string()) return Malformed("a part of error is no text");
    error[name] = *it;
  }
  return error;
}

}  // namespace

Result<json> ParseAnswer(std::string_view text) {
  USETL_RETURN_IF_ERROR(CheckDepth(text));
  const json from = json::parse(text, nullptr, false);
  if (from.is_discarded()) return Status(EPROTO, "the function's answer is no JSON");
  if (!from.is_object() || !from.contains("ok") || !from["ok"].is_boolean()) {
    return Malformed("it does not say whether it succeeded");
  }
  json answer = {{"ok", from["ok"]}};
  if (!from["ok"].get<bool>()) {
    Result<json> error = ParseError(from.value("error", json()));
    if (!error.ok()) return error.status();
    answer["error"] = std::move(*error);
    USETL_RETURN_IF_ERROR(CopyExit(from, &answer));
    return answer;
  }
  if (from.contains("path")) {
    if (!from["path"].is_string()) return Malformed("path is no text");
    answer["path"] = from["path"];
  } else if (from.contains("exit")) {
    USETL_RETURN_IF_ERROR(CopyExit(from, &answer));
  } else {
    answer["value"] = from.value("value", json());
  }
  return answer;
}

Result<std::string> WrapValue(std::string_view text) {
  USETL_RETURN_IF_ERROR(CheckDepth(text));
  if (!json::accept(text)) return Status(EPROTO, "the function's answer is no JSON");
  std::string answer = R"({"ok":true,"value":)";
  answer.append(text);
  return answer += '}';
}

}  // namespace usetl
