#include "cri/client/manifest_container.h"

#include <nlohmann/json.hpp>

namespace usetl::cri {
namespace {

using nlohmann::json;

// The kubelet's and the scheduler's work.
constexpr std::string_view kIdleOfContainer[] = {
    "lifecycle",    "livenessProbe", "readinessProbe",         "resizePolicy",
    "startupProbe", "stdinOnce",     "terminationMessagePath", "terminationMessagePolicy"};
constexpr std::string_view kIdleOfResources[] = {"claims"};

void ParseEnvironment(Fields* container, v1::ContainerConfig* config) {
  container->Refuse("envFrom", "wants a cluster; write the variables out as env");
  size_t index = 0;
  for (const YAML::Node& item : container->List("env")) {
    Fields variable(item, At(container->Path("env"), index++), container->leftovers());
    variable.Refuse("valueFrom", "wants a cluster; write the value out");
    v1::KeyValue& pair = *config->add_envs();
    pair.set_key(variable.Text("name"));
    pair.set_value(variable.Text("value"));
    if (variable.Has("value")) RequireText(variable.Get("value"), variable.Path("value"));
    if (pair.key().empty()) variable.Miss("name", "is missing");
  }
}

void ParsePorts(Fields* container, v1::ContainerConfig* config, v1::PodSandboxConfig* sandbox) {
  constexpr int64_t kMostPort = 65535;
  json ports = json::array();
  size_t index = 0;
  for (const YAML::Node& item : container->List("ports")) {
    Fields port(item, At(container->Path("ports"), index++), container->leftovers());
    const int64_t number = port.Number("containerPort", 0, kMostPort);
    const int64_t host = port.Number("hostPort", 0, kMostPort);
    const std::string protocol = port.Text("protocol", "TCP"), name = port.Text("name");
    const std::string address = port.Text("hostIP");
    if (number == 0) port.Miss("containerPort", "is missing");
    if (protocol != "TCP") Fail(port.Path("protocol"), "only TCP is served");
    ports.push_back({{"containerPort", number}, {"protocol", protocol}});
    if (!name.empty()) ports.back()["name"] = name;
    if (host == 0) continue;
    v1::PortMapping& mapping = *sandbox->add_port_mappings();
    mapping.set_container_port(static_cast<int32_t>(number));
    mapping.set_host_port(static_cast<int32_t>(host));
    mapping.set_host_ip(address);
  }
  // As the kubelet writes it.
  if (!ports.empty()) {
    (*config->mutable_annotations())["io.kubernetes.container.ports"] = ports.dump();
  }
}

void ParseResources(Fields* container, v1::ContainerConfig* config) {
  if (!container->Has("resources")) return;
  Fields resources(container->Get("resources"), container->Path("resources"),
                   container->leftovers(), kIdleOfResources);
  resources.Get("requests");  // for a scheduler
  if (!resources.Has("limits")) return;
  Fields limits(resources.Get("limits"), resources.Path("limits"), container->leftovers());
  for (const std::string& name : limits.Names()) {  // of devices they are anybody's
    if (name == "ephemeral-storage" || name.starts_with("hugepages-") ||
        name.find('/') != std::string::npos) {
      limits.Ignore(name);
    }
  }
  v1::LinuxContainerResources& linux = *config->mutable_linux()->mutable_resources();
  const auto quantity = [&](const char* name) {
    const Result<int64_t> value = ParseQuantity(limits.Text(name));
    if (!value.ok()) Fail(limits.Path(name), value.status().message());
    return *value;
  };
  constexpr int64_t kPeriod = 100'000;
  if (limits.Has("memory")) linux.set_memory_limit_in_bytes(quantity("memory") / 1000);
  if (!limits.Has("cpu")) return;
  linux.set_cpu_period(kPeriod);
  linux.set_cpu_quota(quantity("cpu") * (kPeriod / 1000));
}

void ParseMounts(Fields* container, const Volumes& volumes, v1::ContainerConfig* config) {
  static constexpr std::string_view kPropagations[] = {"None", "HostToContainer", "Bidirectional"};
  static constexpr std::string_view kRecursive[] = {"Disabled", "IfPossible", "Enabled"};
  size_t index = 0;
  for (const YAML::Node& item : container->List("volumeMounts")) {
    Fields mount(item, At(container->Path("volumeMounts"), index++), container->leftovers());
    const auto volume = volumes.find(mount.Text("name"));
    if (volume == volumes.end()) Fail(mount.Path("name"), "names no volume of the pod");
    // A function that writes the volume could put a link there, and be given what it leads to.
    const std::string part = mount.Text("subPath");
    if (!part.empty()) {
      Fail(mount.Path("subPath"),
           volume->second.of_host
               ? "is not supported here; make hostPath " + volume->second.path + "/" + part +
                     " a volume of its own"
               : std::string("is not supported here; give each part an emptyDir of its own"));
    }
    mount.Refuse("subPathExpr", "is not supported here; give each part a volume of its own");
    v1::Mount& made = *config->add_mounts();
    made.set_container_path(mount.Text("mountPath"));
    made.set_host_path(volume->second.path);
    made.set_readonly(mount.Flag("readOnly"));
    // usetld refuses what is not private, and says why.
    made.set_propagation(
        static_cast<v1::MountPropagation>(mount.Choice("mountPropagation", kPropagations)));
    made.set_recursive_read_only(mount.Choice("recursiveReadOnly", kRecursive) == 2);
    if (!made.container_path().starts_with('/')) mount.Miss("mountPath", "is no absolute path");
  }
}

}  // namespace

bool IsName(const std::string& name) {
  return !name.empty() && name[0] != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
}

PodManifest::Container ParseContainer(const YAML::Node& item, const std::string& where,
                                      const PodParts& pod, Leftovers* leftovers,
                                      v1::PodSandboxConfig* sandbox) {
  Fields fields(item, where, leftovers, kIdleOfContainer);
  PodManifest::Container container;
  v1::ContainerConfig& config = container.config;
  const std::string name = fields.Text("name");
  if (!IsName(name)) fields.Miss("name", "a container wants a name of a-z, 0-9, \"-\" and \".\"");
  config.mutable_metadata()->set_name(name);
  container.image = fields.Text("image");
  if (container.image.empty()) fields.Miss("image", "is missing");
  container.pull_policy = fields.Text("imagePullPolicy", "IfNotPresent");
  if (container.pull_policy != "IfNotPresent" && container.pull_policy != "Always" &&
      container.pull_policy != "Never") {
    Fail(where + ".imagePullPolicy", "is none of IfNotPresent, Always, Never");
  }
  for (const std::string& word : fields.Texts("command")) config.add_command(word);
  for (const std::string& word : fields.Texts("args")) config.add_args(word);
  config.set_working_dir(fields.Text("workingDir"));
  config.set_log_path(name + "/0.log");
  config.set_stdin(fields.Flag("stdin"));
  config.set_tty(fields.Flag("tty"));
  ParseEnvironment(&fields, &config);
  ParsePorts(&fields, &config, sandbox);
  ParseResources(&fields, &config);
  ParseMounts(&fields, pod.volumes, &config);
  ParseContainerSecurity(&fields, pod.security, sandbox, &container);
  fields.Refuse("volumeDevices", "is not supported: a micro-VM has no devices");
  if (pod.init) {
    fields.Refuse("restartPolicy", "is not supported; name a sidecar among the containers");
  }
  const auto& metadata = sandbox->metadata();
  auto& labels = *config.mutable_labels();
  labels["io.kubernetes.container.name"] = name;
  labels["io.kubernetes.pod.name"] = metadata.name();
  labels["io.kubernetes.pod.namespace"] = metadata.namespace_();
  labels["io.kubernetes.pod.uid"] = metadata.uid();
  return container;
}

}  // namespace usetl::cri
