#include "cri/container/function.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "cri/container/annotations.h"
#include "vmm/base/image_runtime.h"

namespace usetl::cri {
namespace {

namespace v1 = ::runtime::v1;

constexpr char kPortsKey[] = "io.kubernetes.container.ports";
constexpr char kDefaultDirectory[] = "/function";
constexpr uint16_t kDefaultPort = 8080;  // Knative's
constexpr size_t kMaxPorts = 32;

template <typename Map>
std::string ValueOr(const Map& map, const std::string& key, const std::string& otherwise) {
  const auto found = map.find(key);
  return found == map.end() ? otherwise : found->second;
}

std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

bool IsPython(std::string_view program) {
  const std::string_view name = BaseName(program);
  return name == "python" || name == "python3" || name.starts_with("python3.");
}

// The path of a program as the working directory has it.
std::string Absolute(const std::string& directory, const std::string& path) {
  if (path.starts_with('/')) return path;
  return directory + (directory.ends_with('/') ? "" : "/") + path;
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// kubelet's annotation with the ports of the container's manifest: TCP ones are served.
Status PortsFromAnnotation(const std::string& text, std::vector<uint16_t>* ports) {
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  const Status bad(EINVAL, std::string("usetl: the annotation ") + kPortsKey + " is malformed");
  if (!list.is_array()) return bad;
  for (const nlohmann::json& item : list) {
    if (!item.is_object()) return bad;
    const auto protocol = item.find("protocol");
    if (protocol != item.end() && *protocol != "TCP") continue;
    const auto number = item.find("containerPort");
    if (number == item.end() || !number->is_number_unsigned()) return bad;
    const auto value = number->get<uint64_t>();
    if (value == 0 || value > 65535) return bad;
    ports->push_back(static_cast<uint16_t>(value));
  }
  if (ports->size() > kMaxPorts) {
    return Status(EINVAL, "usetl: the container has " + std::to_string(ports->size()) +
                              " TCP ports; a function serves " + std::to_string(kMaxPorts) +
                              " at most");
  }
  return Status();
}

Result<std::vector<uint16_t>> Ports(const image::Image& image, const ContainerRecord& container,
                                    const std::map<std::string, std::string>& environment) {
  std::vector<uint16_t> ports;
  const auto annotation = container.config().annotations().find(kPortsKey);
  if (annotation != container.config().annotations().end()) {
    USETL_RETURN_IF_ERROR(PortsFromAnnotation(annotation->second, &ports));
  }
  if (!ports.empty()) return ports;
  if (const auto port = environment.find("PORT"); port != environment.end()) {
    if (const auto number = ParsePort(port->second)) return std::vector{*number};
  }
  for (const std::string& exposed : image.config.exposed_ports) {
    const size_t slash = exposed.find('/');
    const auto number = ParsePort(std::string_view(exposed).substr(0, slash));
    const bool tcp = slash == exposed.npos || exposed.substr(slash) == "/tcp";
    if (number && tcp && ports.size() < kMaxPorts) ports.push_back(*number);
  }
  if (ports.empty()) ports.push_back(kDefaultPort);
  return ports;
}

// A number and its unit, up to a day: "500ms", "30s", "5m", "1h".
Result<std::chrono::milliseconds> ParseTimeout(std::string_view text) {
  constexpr std::pair<std::string_view, std::chrono::milliseconds> kUnits[] = {
      {"ms", std::chrono::milliseconds(1)},
      {"s", std::chrono::seconds(1)},
      {"m", std::chrono::minutes(1)},
      {"h", std::chrono::hours(1)}};
  constexpr std::chrono::milliseconds kMost = std::chrono::hours(24);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, text.data() + text.size() - end);
  const auto found = std::ranges::find(kUnits, unit, [](const auto& known) { return known.first; });
  if (error != std::errc() || number == 0 || found == std::end(kUnits) ||
      number > kMost / found->second) {
    return Status(EINVAL, std::string("usetl: the annotation ") + kTimeoutKey +
                              " wants a time of up to 24h, as 500ms, 30s, 5m");
  }
  return number * found->second;
}

// Words of a list that commas or spaces separate.
std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of(", \t\n", begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

Result<std::map<std::string, std::string>> Environment(const image::Image& image,
                                                       const v1::ContainerConfig& config) {
  std::map<std::string, std::string> environment;
  for (const std::string& item : image.config.environment) {
    const size_t equals = item.find('=');
    if (equals != item.npos) environment[item.substr(0, equals)] = item.substr(equals + 1);
  }
  for (const v1::KeyValue& item : config.envs()) {
    const bool valid = !item.key().empty() && item.key().find('=') == item.key().npos &&
                       item.key().find('\0') == item.key().npos &&
                       item.value().find('\0') == item.value().npos;
    if (!valid) return Status(EINVAL, "usetl: malformed environment variable");
    environment[item.key()] = item.value();
  }
  return environment;
}

// The command line: the image's, unless the pod has its own.
std::vector<std::string> CommandLine(const image::Image& image, const v1::ContainerConfig& config) {
  std::vector<std::string> line(config.command().begin(), config.command().end());
  const bool own_command = !line.empty();
  if (!own_command) line = image.config.entrypoint;
  if (config.args_size() > 0) {
    line.insert(line.end(), config.args().begin(), config.args().end());
  } else if (!own_command) {
    line.insert(line.end(), image.config.command.begin(), image.config.command.end());
  }
  return line;
}

// `line` is not empty.
Status ReadCommandLine(const std::vector<std::string>& line, Function* function) {
  const std::string& directory = function->working_directory;
  size_t program = 0;
  if (IsPython(line[0])) {
    program = 1;
    if (line.size() < 2 || line[1].starts_with('-')) {
      return Status(EINVAL, "usetl: the command \"" + line[0] + (line.size() > 1 ? " " : "") +
                                (line.size() > 1 ? line[1] : "") +
                                "\" is not supported: give python the file of a program");
    }
    function->mode = "script";
  } else if (line[0].ends_with(".py")) {
    function->mode = "auto";
  } else {
    return Status(EINVAL, "usetl: the command \"" + line[0] +
                              "\" is not supported: a thin image runs Python files; use "
                              "[\"python3\", \"FILE.py\"], or no command for a handler");
  }
  function->path = Absolute(directory, line[program]);
  function->arguments.assign(line.begin() + static_cast<ptrdiff_t>(program) + 1, line.end());
  return Status();
}

}  // namespace

std::string NamedRuntime(const image::Image& image) {
  return ValueOr(image.config.labels, kRuntimeKey, "");
}

std::string NamedRuntime(const image::Image& image, const v1::PodSandboxConfig& pod) {
  return ValueOr(pod.annotations(), kRuntimeKey, NamedRuntime(image));
}

Result<Function> ResolveFunction(const image::Image& image, const SandboxRecord& sandbox,
                                 const ContainerRecord& container, const std::string& runtime) {
  const v1::ContainerConfig& config = container.config();
  const auto& annotations = sandbox.config().annotations();
  Function function;
  function.runtime = NamedRuntime(image, sandbox.config());
  if (function.runtime.starts_with(kImageRuntimePrefix)) {
    // The files of another image, perhaps another tenant's.
    return Status(EINVAL, "usetl: " + std::string(kRuntimeKey) + " cannot name an image's runtime");
  }
  if (function.runtime.empty()) {
    function.runtime = container.runtime().empty() ? runtime : container.runtime();
  }
  function.tenant = "pod:" + sandbox.config().metadata().namespace_();
  function.target = ValueOr(image.config.labels, kHandlerKey, "");
  // The annotation is for the containers of a pod that say nothing themselves: not for one that
  // names the script which it runs.
  if (config.command().empty() && config.args().empty()) {
    function.target = ValueOr(annotations, kHandlerKey, function.target);
  }
  if (const auto allowed = annotations.find(kAllowKey); allowed != annotations.end()) {
    function.allowed = Words(allowed->second);
  }
  if (const auto timeout = annotations.find(kTimeoutKey); timeout != annotations.end()) {
    const auto parsed = ParseTimeout(timeout->second);
    if (!parsed.ok()) return parsed.status();
    function.timeout = *parsed;
  }
  function.working_directory = config.working_dir();
  if (function.working_directory.empty()) {
    function.working_directory = image.config.working_directory;
  }
  const bool has_directory = !function.working_directory.empty();
  if (!has_directory) function.working_directory = kDefaultDirectory;
  if (!function.working_directory.starts_with('/')) {
    return Status(EINVAL, "usetl: the working directory has to be absolute");
  }
  Result<std::map<std::string, std::string>> environment = Environment(image, config);
  if (!environment.ok()) return environment.status();
  function.environment = std::move(*environment);

  std::vector<std::string> line = CommandLine(image, config);
  // What Python's own images say, and those that are built from them unless they say more: nobody
  // talks to it here.
  if (!container.runtime().empty() && line.size() == 1 && IsPython(line[0])) line.clear();
  if (line.empty() || !function.target.empty()) {
    function.mode = "http";
    function.path = function.working_directory;
    function.arguments = line;
  } else {
    USETL_RETURN_IF_ERROR(ReadCommandLine(line, &function));
    if (!has_directory) function.working_directory = "/";
  }
  if (function.mode != "script") {
    Result<std::vector<uint16_t>> ports = Ports(image, container, function.environment);
    if (!ports.ok()) return ports.status();
    function.ports = std::move(*ports);
    // What Knative promises to every function.
    if (!function.environment.contains("PORT")) {
      function.environment["PORT"] = std::to_string(function.ports.front());
    }
  }
  return function;
}

}  // namespace usetl::cri
