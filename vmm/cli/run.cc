// run.cc: usetl run: one function, its output, its result.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "vmm/base/json_text.h"
#include "vmm/base/output.h"
#include "vmm/cli/commands.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/worker/run_protocol.h"

namespace usetl {
namespace {

using nlohmann::json;

constexpr size_t kMaxAround = 64 << 10;  // what stands around the value of a result

// The text of the event, checked but otherwise as it was written.
Result<std::string> ReadEvent(const std::string& text) {
  std::string content = text;
  if (text.starts_with('@')) {
    const Fd file(open(text.c_str() + 1, O_RDONLY | O_CLOEXEC));
    if (!file.ok()) return Status::Errno("--event " + text);
    content.clear();
    char buffer[16 << 10];
    for (ssize_t n; (n = read(file.get(), buffer, sizeof buffer)) != 0;) {
      if (n < 0) return Status::Errno("--event " + text);
      content.append(buffer, n);
    }
  }
  if (content.starts_with("\xef\xbb\xbf")) content.erase(0, 3);  // as some editors write it
  if (!json::accept(content)) {
    return Status(EINVAL, "--event is no JSON; text wants quotes of its own: --event '\"text\"'");
  }
  return content;
}

// What was given besides the file is for nothing else.
bool IsHandler(const RunOptions& options) {
  return !options.handler.empty() || (options.with_event && options.mode == "auto");
}

Result<json> MakeRequest(const RunOptions& options, bool with_stdin) {
  Result<std::string> event = ReadEvent(options.event);
  if (!event.ok()) return event.status();
  json env = json::object();
  for (const std::string& item : options.env) {
    const size_t equals = item.find('=');
    if (equals == 0 || equals == std::string::npos) return Status(EINVAL, "--env wants NAME=VALUE");
    env[item.substr(0, equals)] = item.substr(equals + 1);
  }
  json request = {{"runtime", options.embedded.runtime},
                  {"tenant", "uid-" + std::to_string(getuid())},
                  {"file", options.function.substr(options.function.rfind('/') + 1)},
                  {"mode", IsHandler(options) ? "handler" : options.mode},
                  {"event_text", *event},
                  {"argv", options.arguments},
                  {"env", env},
                  {"allow", options.allow},
                  {"stdin", with_stdin},
                  {"timings", options.timings},
                  {"memory", options.memory},
                  {"timeout_ms", static_cast<uint64_t>(options.timeout_seconds * 1000)}};
  if (!options.handler.empty()) request["handler"] = options.handler;
  return request;
}

int PrintValue(std::string value) {
  const Status written = WriteOutput(value.append(1, '\n'));
  return written.ok() ? 0 : Complain(written.message(), 125);
}

// The text of the value in {"ok":true,"value":TEXT}, as the agent and the worker write it.
std::optional<std::string_view> ValueOf(std::string_view text) {
  constexpr std::string_view kPrefix = R"({"ok":true,"value":)";
  if (!text.starts_with(kPrefix) || !text.ends_with('}')) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  text.remove_suffix(1);
  if (!json::accept(text)) return std::nullopt;
  return text;
}

// The text that an object of unknown kind has under a name; null when there is none.
const std::string* TextIn(const json* object, const char* key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const json* member = Member(*object, key);
  return member == nullptr ? nullptr : member->get_ptr<const std::string*>();
}

// Prints a result of the agent, which any guest may have written; the exit status.
int ShowResult(const std::string& text) {
  // As the function wrote it: members in their order, integers of any size.
  if (const auto value = ValueOf(text)) return PrintValue(std::string(*value));
  const Status unreadable(EPROTO, "the function's answer cannot be read");
  const Result<json> result = ParseJson(text, "the function's answer");
  if (!result.ok()) return Complain(result.status().message(), 125);
  if (!result->is_object()) return Complain(unreadable.message(), 125);
  const json* ok = Member(*result, "ok");
  const json* exit = Member(*result, "exit");
  const auto* status = exit == nullptr ? nullptr : exit->get_ptr<const json::number_integer_t*>();
  if (exit != nullptr && status == nullptr) return Complain(unreadable.message(), 125);
  if (ok != nullptr && *ok == true) {
    if (status != nullptr) return static_cast<int>(*status);
    const json* value = Member(*result, "value");
    return PrintValue(value == nullptr ? "null" : value->dump());
  }
  const json* error = Member(*result, "error");
  if (const std::string* traceback = TextIn(error, "traceback")) {
    std::fputs(traceback->c_str(), stderr);
  }
  const std::string* type = TextIn(error, "type");
  const std::string* message = TextIn(error, "message");
  const std::string kind = type == nullptr ? "Error" : *type;
  const std::string what = message == nullptr ? "unknown" : *message;
  return Complain(kind + (kind.empty() || what.empty() ? "" : ": ") + what,
                  status == nullptr ? 1 : static_cast<int>(*status));
}

int Converse(int socket) {
  std::string result;
  for (;;) {
    Result<ipc::Message> message = ipc::Receive(socket);
    if (!message.ok()) {
      return Complain("usetl-proxy ended the function's worker: " + message.status().message(),
                      125);
    }
    run::Header header;
    if (message->bytes.size() < sizeof header) continue;
    std::memcpy(&header, message->bytes.data(), sizeof header);
    const char* bytes = reinterpret_cast<const char*>(message->bytes.data()) + sizeof header;
    const size_t size = message->bytes.size() - sizeof header;
    switch (header.type) {
      case run::Type::kOutput:
        if (header.detail == 2) {
          std::fwrite(bytes, 1, size, stderr);  // an error there nobody could be told
        } else if (const Status written = WriteOutput({bytes, size}); !written.ok()) {
          return Complain(written.message(), 125);
        }
        break;
      case run::Type::kResult:
        if (result.size() + size > run::kMaxResult + kMaxAround) {
          return Complain("the function's result exceeds 32 MB", 125);
        }
        result.append(bytes, size);
        if (header.detail == 1) return ShowResult(result);
        break;
      case run::Type::kFailed:
        return Complain(std::string(bytes, size), static_cast<int>(header.detail));
      case run::Type::kTimings:
        std::fprintf(stderr, "timings (us): %.*s\n", static_cast<int>(size), bytes);
        break;
      case run::Type::kLog:
        std::fprintf(stderr, "%.*s\n", static_cast<int>(size), bytes);
        break;
    }
  }
}

}  // namespace

int RunFunction(const RunOptions& options) {
  const Fd function(open(options.function.c_str(), O_RDONLY | O_CLOEXEC));
  if (!function.ok()) return Complain(options.function + ": " + std::strerror(errno), 2);
  struct stat info {};
  if (fstat(function.get(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return Complain(options.function + " is a directory; pass the function's file, such as " +
                        options.function + (options.function.ends_with('/') ? "" : "/") + "main.py",
                    2);
  }
  const bool with_stdin = !IsHandler(options) && !isatty(0) && errno != EBADF;
  Result<json> request = MakeRequest(options, with_stdin);
  if (!request.ok()) return Complain(request.status().message(), 2);
  std::string text;
  try {
    text = request->dump();
  } catch (const json::exception&) {
    return Complain("arguments, --env, --event and names of files must be UTF-8", 2);
  }
  if (text.size() > ipc::kMaxMessage - 1024) return Complain("event and arguments exceed 63 kB", 2);

  std::unique_ptr<Node> embedded;
  Result<Fd> socket = ipc::Connect(ProxySocket(options.node));
  if (socket.status().code() == EACCES) {
    return Complain(NodeOfAnother(options.node).message(), 125);
  }
  if (!socket.ok()) {
    NodeOptions node = options.embedded;
    node.pool = 1;
    Result<std::unique_ptr<Node>> started = Node::Start(node);
    if (!started.ok()) return Complain(started.status().message(), 125);
    embedded = std::move(*started);
    if (options.node_chosen) {
      std::fprintf(stderr, "no node in %s: this command brings up one of its own\n",
                   options.node.c_str());
    }
    socket = ipc::Connect(embedded->proxy_socket());
    if (!socket.ok()) return Complain(socket.status().message(), 125);
  } else if (!options.of_node.empty()) {
    return Complain(options.of_node + ": the node in " + options.node +
                        " runs already; give it to usetl up, or choose another --node",
                    2);
  }
  std::vector<int> fds = {function.get()};
  if (with_stdin) fds.push_back(0);
  const Status sent = ipc::Send(
      socket->get(), {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, {}, fds);
  if (!sent.ok()) return Complain(sent.message(), 125);
  return Converse(socket->get());
}

}  // namespace usetl
