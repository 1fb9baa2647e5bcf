#include "cri/network/runtime_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace usetl::cri {
namespace {

using nlohmann::json;
namespace v1 = ::runtime::v1;

constexpr int kMaxPort = 65535;

// A quantity as Kubernetes writes it: "10M", "1.5Gi", "2e6". None: it is none above 0.
std::optional<uint64_t> ParseQuantity(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view suffix = text.substr(end - text.data());
  struct Unit {
    std::string_view suffix;
    double factor;
  };
  static constexpr std::array<Unit, 11> kUnits = {{{"", 1},
                                                   {"k", 1e3},
                                                   {"M", 1e6},
                                                   {"G", 1e9},
                                                   {"T", 1e12},
                                                   {"P", 1e15},
                                                   {"Ki", 0x1p10},
                                                   {"Mi", 0x1p20},
                                                   {"Gi", 0x1p30},
                                                   {"Ti", 0x1p40},
                                                   {"Pi", 0x1p50}}};
  for (const Unit& unit : kUnits) {
    if (unit.suffix != suffix) continue;
    const double value = number * unit.factor;
    // Up to 1 P, as kubelet has it; this also refuses what is no number.
    if (value >= 1 && value <= 0x1p50) return static_cast<uint64_t>(value);
  }
  return std::nullopt;
}

Result<json> Bandwidth(const v1::PodSandboxConfig& pod) {
  json bandwidth = json::object();
  for (const char* direction : {"ingress", "egress"}) {
    const std::string key = std::string("kubernetes.io/") + direction + "-bandwidth";
    const auto annotation = pod.annotations().find(key);
    if (annotation == pod.annotations().end()) continue;
    const std::optional<uint64_t> rate = ParseQuantity(annotation->second);
    if (!rate.has_value())
      return Status(EINVAL,
                    "usetl: the annotation " + key + " is no bandwidth; write 1 to 1P, as 10M");
    bandwidth[std::string(direction) + "Rate"] = *rate;  // bits per second
    bandwidth[std::string(direction) + "Burst"] = std::numeric_limits<uint32_t>::max();
  }
  return bandwidth;
}

Result<json> Ports(const v1::PodSandboxConfig& pod) {
  json ports = json::array();
  for (const v1::PortMapping& mapping : pod.port_mappings()) {
    if (mapping.host_port() == 0) continue;
    for (const int port : {mapping.host_port(), mapping.container_port()}) {
      if (port < 1 || port > kMaxPort) {
        return Status(EINVAL, "usetl: a port mapping has the port " + std::to_string(port) +
                                  "; those that there are: 1 to 65535");
      }
    }
    const char* protocol = mapping.protocol() == v1::UDP    ? "udp"
                           : mapping.protocol() == v1::SCTP ? "sctp"
                                                            : "tcp";
    ports.push_back({{"hostPort", mapping.host_port()},
                     {"containerPort", mapping.container_port()},
                     {"protocol", protocol},
                     {"hostIP", mapping.host_ip()}});
  }
  return ports;
}

json Dns(const v1::DNSConfig& config) {
  json dns = json::object();
  const auto add = [&](const char* key, const auto& values) {
    if (!values.empty()) dns[key] = std::vector<std::string>(values.begin(), values.end());
  };
  add("servers", config.servers());
  add("searches", config.searches());
  add("options", config.options());
  return dns;
}

}  // namespace

Result<json> RuntimeConfigOf(const v1::PodSandboxConfig& pod) {
  Result<json> bandwidth = Bandwidth(pod);
  if (!bandwidth.ok()) return bandwidth.status();
  Result<json> ports = Ports(pod);
  if (!ports.ok()) return ports.status();
  json annotations = json::object();
  for (const auto& [key, value] : pod.annotations()) annotations[key] = value;
  json config = json::object();
  const auto add = [&](const char* capability, json value) {
    if (!value.empty()) config[capability] = std::move(value);
  };
  add("bandwidth", std::move(*bandwidth));
  add("portMappings", std::move(*ports));
  add("dns", Dns(pod.dns_config()));
  add("io.kubernetes.cri.pod-annotations", std::move(annotations));
  if (!pod.linux().cgroup_parent().empty()) config["cgroupPath"] = pod.linux().cgroup_parent();
  return config;
}

Result<std::string> CniArguments(const SandboxRecord& record) {
  const v1::PodSandboxMetadata& pod = record.config().metadata();
  std::string arguments = "IgnoreUnknown=1";
  const std::pair<const char*, const std::string&> pairs[] = {
      {"K8S_POD_NAMESPACE", pod.namespace_()},
      {"K8S_POD_NAME", pod.name()},
      {"K8S_POD_INFRA_CONTAINER_ID", record.id()},
      {"K8S_POD_UID", pod.uid()}};
  for (const auto& [key, value] : pairs) {
    const auto is_safe = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    };
    if (!std::all_of(value.begin(), value.end(), is_safe)) {
      return Status(EINVAL,
                    std::string("usetl: ") + key + ": \"" + value +
                        "\" is no name for a network plugin; use A-Z, a-z, 0-9, -, _ and .");
    }
    arguments += std::string(";") + key + "=" + value;
  }
  return arguments;
}

}  // namespace usetl::cri
