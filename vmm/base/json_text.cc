#include "vmm/base/json_text.h"

namespace usetl {
namespace {

using nlohmann::json;

// Brackets are counted as they stand: text that is no JSON is refused afterwards anyway.
bool NestedTooDeeply(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Status NoJson(std::string_view what) { return Status(EPROTO, std::string(what) + " is no JSON"); }
Status TooDeep(std::string_view what) {
  return Status(EPROTO, std::string(what) + " is nested too deeply");
}

}  // namespace

Status CheckJson(std::string_view text, std::string_view what) {
  if (NestedTooDeeply(text)) return TooDeep(what);
  return json::accept(text) ? Status() : NoJson(what);
}

Result<json> ParseJson(std::string_view text, std::string_view what) {
  if (NestedTooDeeply(text)) return TooDeep(what);
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return NoJson(what);
  return value;
}

const json* Member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace usetl
