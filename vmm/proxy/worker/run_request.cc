#include "vmm/proxy/worker/run_request.h"

#include <limits>

#include "vmm/base/json_text.h"

namespace usetl {
namespace {

using nlohmann::json;

constexpr size_t kMaxFileName = 255;

// Takes members out of a request and keeps the first complaint.
class Reader {
 public:
  explicit Reader(const json& request) : request_(request) {}

  void Text(const char* key, std::string* to) {
    const json* value = Member(request_, key);
    if (value == nullptr) return;
    if (!value->is_string() || HasZero(value->get_ref<const std::string&>())) {
      return Complain(key, "text");
    }
    *to = value->get_ref<const std::string&>();
  }
  void Text(const char* key, std::optional<std::string>* to) {
    if (Member(request_, key) == nullptr) return;
    to->emplace();
    Text(key, &**to);
  }
  void Flag(const char* key, bool* to) {
    const json* value = Member(request_, key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Complain(key, "true or false");
    *to = value->get<bool>();
  }
  template <typename T>
  void Number(const char* key, T* to) {
    const json* value = Member(request_, key);
    if (value == nullptr) return;
    if (!value->is_number_unsigned() ||
        value->get<uint64_t>() > uint64_t{std::numeric_limits<T>::max()}) {
      return Complain(key, "a number within its range");
    }
    *to = static_cast<T>(value->get<uint64_t>());
  }
  void Texts(const char* key, std::vector<std::string>* to) {
    const json* value = Member(request_, key);
    if (value == nullptr) return;
    if (!value->is_array()) return Complain(key, "a list of texts");
    for (const json& item : *value) {
      if (!item.is_string() || HasZero(item.get_ref<const std::string&>())) {
        return Complain(key, "a list of texts");
      }
      to->push_back(item.get_ref<const std::string&>());
    }
  }
  void Variables(const char* key, std::map<std::string, std::optional<std::string>>* to) {
    constexpr const char* kWanted = "an object of names and texts";
    const json* value = Member(request_, key);
    if (value == nullptr) return;
    if (!value->is_object()) return Complain(key, kWanted);
    for (const auto& [name, item] : value->items()) {
      const bool removes = item.is_null();
      if (name.empty() || name.find('=') != name.npos || HasZero(name) ||
          (!removes && (!item.is_string() || HasZero(item.get_ref<const std::string&>())))) {
        return Complain(key, kWanted);
      }
      (*to)[name] = removes ? std::nullopt : std::optional(item.get_ref<const std::string&>());
    }
  }
  void Complain(const char* key, const char* wanted) {
    if (status_.ok()) {
      status_ =
          Status(EINVAL, std::string("the request to run a function: ") + key + ": want " + wanted);
    }
  }
  const Status& status() const { return status_; }

 private:
  static bool HasZero(const std::string& text) { return text.find('\0') != text.npos; }

  const json& request_;
  Status status_;
};

}  // namespace

Result<RunRequest> ParseRunRequest(std::string_view text) {
  Result<json> parsed = ParseJson(text, "the request to run a function");
  if (!parsed.ok()) return Status(EINVAL, parsed.status().message());
  if (!parsed->is_object()) return Status(EINVAL, "the request to run a function is no object");
  RunRequest request;
  Reader reader(*parsed);
  reader.Text("runtime", &request.runtime);
  reader.Text("tenant", &request.tenant);
  reader.Text("file", &request.file);
  reader.Text("mode", &request.mode);
  reader.Text("handler", &request.handler);
  reader.Texts("argv", &request.arguments);
  reader.Variables("env", &request.environment);
  reader.Texts("allow", &request.allow);
  reader.Flag("stdin", &request.has_stdin);
  reader.Flag("timings", &request.timings);
  reader.Number("memory", &request.memory);
  reader.Number("timeout_ms", &request.timeout_ms);
  if (request.file.empty() || request.file.size() > kMaxFileName || request.file == "." ||
      request.file == ".." || request.file.find('/') != std::string::npos) {
    reader.Complain("file", "the name of a file");
  }
  if (request.tenant.empty()) reader.Complain("tenant", "a name");
  if (request.mode != "auto" && request.mode != "handler" && request.mode != "script") {
    reader.Complain("mode", "auto, handler or script");
  }
  if (!reader.status().ok()) return reader.status();
  if (const json* event = Member(*parsed, "event")) request.event = event->dump();
  if (const json* written = Member(*parsed, "event_text")) {
    if (!written->is_string()) return Status(EINVAL, "event_text is no text");
    request.event = written->get_ref<const std::string&>();
    const Status sound = CheckJson(request.event, "the event");
    if (!sound.ok()) return Status(EINVAL, sound.message());
    // The agent's decoder begins with the value.
    request.event.erase(0, request.event.find_first_not_of(" \t\r\n"));
  }
  return request;
}

std::string LoadRecord(const RunRequest& request, const std::string& path,
                       const std::string& stdin_path) {
  json load = {{"path", path}, {"mode", request.mode}, {"argv", request.arguments}};
  json& environment = load["env"] = json::object();
  for (const auto& [name, value] : request.environment) {
    environment[name] = value ? json(*value) : json();
  }
  if (request.handler) load["handler"] = *request.handler;
  if (!stdin_path.empty()) load["stdin"] = stdin_path;
  return load.dump();
}

std::string InvokeRecord(const RunRequest& request, const std::string& event_path,
                         const RunContext& context) {
  const json shown = {{"function_name", request.file},
                      {"request_id", context.request_id},
                      {"deadline", context.deadline},
                      {"memory_limit_mb", context.memory_mb}};
  std::string record = "{\"context\":" + shown.dump();
  if (event_path.empty()) {
    record += ",\"event\":" + request.event;
  } else {
    record += ",\"event_path\":" + json(event_path).dump();
  }
  return record + "}";
}

}  // namespace usetl
