#include "cri/client/manifest.h"

#include <yaml-cpp/yaml.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace usetl::cri {
namespace {

using nlohmann::json;

constexpr size_t kMostYaml = 1 << 20;

// Thrown within this file only.
struct Wrong {
  std::string message;
};

[[noreturn]] void Fail(const std::string& where, const std::string& what) {
  throw Wrong{where + ": " + what};
}

// A mapping of the manifest. Whoever has asked for a field knows it; the others are ignored, and
// that is said.
class Fields {
 public:
  Fields(const YAML::Node& node, std::string where, std::vector<std::string>* ignored)
      : node_(node.IsDefined() ? node : YAML::Node()), where_(std::move(where)), ignored_(ignored) {
    if (!node_.IsNull() && !node_.IsMap()) Fail(where_, "is no mapping");
  }
  ~Fields() {
    if (!node_.IsMap()) return;
    for (const auto& field : node_) {
      if (!field.first.IsScalar()) continue;
      const std::string& name = field.first.Scalar();
      if (!known_.contains(name)) ignored_->push_back(where_ + "." + name);
    }
  }
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  YAML::Node Get(const std::string& name) {
    known_.insert(name);
    return node_.IsMap() ? node_[name] : YAML::Node(YAML::NodeType::Undefined);
  }
  std::string Path(const std::string& name) const { return where_ + "." + name; }
  bool Has(const std::string& name) {
    const YAML::Node field = Get(name);
    return field.IsDefined() && !field.IsNull();
  }
  std::string Text(const std::string& name, const std::string& otherwise = "") {
    if (!Has(name)) return otherwise;
    if (!Get(name).IsScalar()) Fail(Path(name), "is no text");
    return Get(name).Scalar();
  }
  bool Flag(const std::string& name) {
    const std::string text = Text(name, "false");
    if (text != "true" && text != "false") Fail(Path(name), "is neither true nor false");
    return text == "true";
  }
  int64_t Number(const std::string& name, int64_t otherwise, int64_t most) {
    if (!Has(name)) return otherwise;
    int64_t value = 0;
    if (!YAML::convert<int64_t>::decode(Get(name), value) || value < 0 || value > most) {
      Fail(Path(name), "is no number from 0 to " + std::to_string(most));
    }
    return value;
  }
  std::vector<YAML::Node> List(const std::string& name) {
    if (!Has(name)) return {};
    const YAML::Node list = Get(name);
    if (!list.IsSequence()) Fail(Path(name), "is no list");
    return {list.begin(), list.end()};
  }
  std::vector<std::string> Texts(const std::string& name) {
    std::vector<std::string> texts;
    for (const YAML::Node& item : List(name)) {
      if (!item.IsScalar()) Fail(Path(name), "has an item that is no text");
      texts.push_back(item.Scalar());
    }
    return texts;
  }
  template <typename Map>
  void Into(const std::string& name, Map* map) {
    if (!Has(name)) return;
    if (!Get(name).IsMap()) Fail(Path(name), "is no mapping");
    for (const auto& item : Get(name)) {
      if (!item.first.IsScalar() || !item.second.IsScalar())
        Fail(Path(name), "has a value that is no text");
      (*map)[item.first.Scalar()] = item.second.Scalar();
    }
  }
  void Refuse(const std::string& name, const std::string& why) {
    if (Has(name)) Fail(Path(name), why);
  }
  std::vector<std::string>* ignored() const { return ignored_; }

 private:
  YAML::Node node_;
  std::string where_;
  std::vector<std::string>* ignored_;
  std::set<std::string> known_;
};

std::string At(const std::string& list, size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

// Names become parts of paths.
bool IsName(const std::string& name) {
  return !name.empty() && name[0] != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
}

// Host paths by the names of volumes.
using Volumes = std::map<std::string, std::string>;

Volumes ParseVolumes(Fields* spec, const ManifestOptions& options, PodManifest* manifest) {
  Volumes volumes;
  size_t index = 0;
  for (const YAML::Node& item : spec->List("volumes")) {
    Fields volume(item, At(spec->Path("volumes"), index++), spec->ignored());
    const std::string name = volume.Text("name");
    if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') {
      Fail(volume.Path("name"), "names no volume");
    }
    std::string path;
    if (volume.Has("hostPath")) {
      Fields host(volume.Get("hostPath"), volume.Path("hostPath"), spec->ignored());
      path = host.Text("path");
      if (!path.starts_with('/')) Fail(host.Path("path"), "is no absolute path");
    } else if (item.IsMap() && volume.Get("emptyDir").IsDefined()) {
      path = options.volumes + "/" + options.uid + "/" + name;
      manifest->directories.push_back(path);
    } else {
      Fail(volume.Path("name"), "volume \"" + name +
                                    "\" is neither emptyDir nor hostPath; what else "
                                    "there is wants a cluster");
    }
    if (!volumes.emplace(name, path).second) Fail(volume.Path("name"), "is there twice");
  }
  return volumes;
}

void ParseEnvironment(Fields* container, v1::ContainerConfig* config) {
  container->Refuse("envFrom", "wants a cluster; write the variables out as env");
  size_t index = 0;
  for (const YAML::Node& item : container->List("env")) {
    Fields variable(item, At(container->Path("env"), index++), container->ignored());
    variable.Refuse("valueFrom", "wants a cluster; write the value out");
    v1::KeyValue& pair = *config->add_envs();
    pair.set_key(variable.Text("name"));
    pair.set_value(variable.Text("value"));
    if (pair.key().empty()) Fail(variable.Path("name"), "is missing");
  }
}

void ParsePorts(Fields* container, v1::ContainerConfig* config, v1::PodSandboxConfig* sandbox) {
  constexpr int64_t kMostPort = 65535;
  json ports = json::array();
  size_t index = 0;
  for (const YAML::Node& item : container->List("ports")) {
    Fields port(item, At(container->Path("ports"), index++), container->ignored());
    const int64_t number = port.Number("containerPort", 0, kMostPort);
    const int64_t host = port.Number("hostPort", 0, kMostPort);
    const std::string protocol = port.Text("protocol", "TCP"), name = port.Text("name");
    const std::string address = port.Text("hostIP");
    if (number == 0) Fail(port.Path("containerPort"), "is missing");
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
  Fields resources(container->Get("resources"), container->Path("resources"), container->ignored());
  resources.Get("requests");  // for a scheduler
  if (!resources.Has("limits")) return;
  Fields limits(resources.Get("limits"), resources.Path("limits"), container->ignored());
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
  size_t index = 0;
  for (const YAML::Node& item : container->List("volumeMounts")) {
    Fields mount(item, At(container->Path("volumeMounts"), index++), container->ignored());
    const auto volume = volumes.find(mount.Text("name"));
    if (volume == volumes.end()) Fail(mount.Path("name"), "names no volume of the pod");
    mount.Refuse("subPath", "is not supported here");
    mount.Refuse("subPathExpr", "is not supported here");
    v1::Mount& made = *config->add_mounts();
    made.set_container_path(mount.Text("mountPath"));
    made.set_host_path(volume->second);
    made.set_readonly(mount.Flag("readOnly"));
    if (!made.container_path().starts_with('/'))
      Fail(mount.Path("mountPath"), "is no absolute path");
  }
}

PodManifest::Container ParseContainer(const YAML::Node& item, const std::string& where,
                                      const Volumes& volumes, PodManifest* manifest) {
  Fields fields(item, where, &manifest->ignored);
  PodManifest::Container container;
  v1::ContainerConfig& config = container.config;
  const std::string name = fields.Text("name");
  if (!IsName(name)) Fail(where + ".name", "a container wants a name of a-z, 0-9, \"-\" and \".\"");
  config.mutable_metadata()->set_name(name);
  container.image = fields.Text("image");
  if (container.image.empty()) Fail(where + ".image", "is missing");
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
  ParsePorts(&fields, &config, &manifest->sandbox);
  ParseResources(&fields, &config);
  ParseMounts(&fields, volumes, &config);
  const auto& pod = manifest->sandbox.metadata();
  auto& labels = *config.mutable_labels();
  labels["io.kubernetes.container.name"] = name;
  labels["io.kubernetes.pod.name"] = pod.name();
  labels["io.kubernetes.pod.namespace"] = pod.namespace_();
  labels["io.kubernetes.pod.uid"] = pod.uid();
  return container;
}

void ParseMetadata(const YAML::Node& node, const ManifestOptions& options, PodManifest* manifest) {
  Fields metadata(node, "metadata", &manifest->ignored);
  v1::PodSandboxConfig& sandbox = manifest->sandbox;
  v1::PodSandboxMetadata& pod = *sandbox.mutable_metadata();
  pod.set_name(metadata.Text("name"));
  pod.set_namespace_(metadata.Text("namespace", "default"));
  pod.set_uid(options.uid);
  for (const std::string& name : {pod.name(), pod.namespace_()}) {
    if (!IsName(name)) {
      Fail("metadata.name", "a pod wants a name of a-z, 0-9, \"-\" and \".\"");
    }
  }
  metadata.Into("labels", sandbox.mutable_labels());
  metadata.Into("annotations", sandbox.mutable_annotations());
  auto& labels = *sandbox.mutable_labels();
  labels["io.kubernetes.pod.name"] = pod.name();
  labels["io.kubernetes.pod.namespace"] = pod.namespace_();
  labels["io.kubernetes.pod.uid"] = pod.uid();
  sandbox.set_log_directory(options.logs + "/" + pod.namespace_() + "_" + pod.name() + "_" +
                            pod.uid());
}

void ParseSpec(const YAML::Node& node, const ManifestOptions& options, PodManifest* manifest) {
  Fields spec(node, "spec", &manifest->ignored);
  v1::PodSandboxConfig& sandbox = manifest->sandbox;
  sandbox.set_hostname(spec.Text("hostname", sandbox.metadata().name()));
  const std::string runtime = spec.Text("runtimeClassName", "usetl");
  if (runtime != "usetl") {
    Fail("spec.runtimeClassName", "is \"" + runtime + "\"; this node runs \"usetl\"");
  }
  spec.Get("restartPolicy");  // whoever runs a manifest by hand starts it again by hand
  v1::NamespaceOption& names =
      *sandbox.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  names.set_pid(v1::CONTAINER);
  // usetld refuses these, and says why.
  if (spec.Flag("hostNetwork")) names.set_network(v1::NODE);
  if (spec.Flag("hostPID")) names.set_pid(v1::NODE);
  if (spec.Flag("hostIPC")) names.set_ipc(v1::NODE);
  const Volumes volumes = ParseVolumes(&spec, options, manifest);
  for (const auto& [list, containers] : {std::pair{"initContainers", &manifest->init_containers},
                                         std::pair{"containers", &manifest->containers}}) {
    size_t index = 0;
    for (const YAML::Node& item : spec.List(list)) {
      containers->push_back(ParseContainer(item, At(spec.Path(list), index++), volumes, manifest));
    }
  }
  if (manifest->containers.empty()) Fail("spec.containers", "is empty");
}

}  // namespace

Result<PodManifest> ParsePodManifest(const std::string& yaml, const ManifestOptions& options) {
  if (yaml.size() > kMostYaml) return Status(EFBIG, "the manifest exceeds 1 MB");
  try {
    for (const YAML::Node& document : YAML::LoadAll(yaml)) {
      if (!document.IsMap()) continue;
      PodManifest manifest;
      const YAML::Node kind = document["kind"], version = document["apiVersion"];
      if (!kind.IsDefined() || !kind.IsScalar() || kind.Scalar() != "Pod") continue;
      if (!version.IsDefined() || !version.IsScalar() || version.Scalar() != "v1") {
        return Status(EINVAL, "apiVersion: a Pod's is v1");
      }
      ParseMetadata(document["metadata"], options, &manifest);
      ParseSpec(document["spec"], options, &manifest);
      return manifest;
    }
    return Status(EINVAL, "there is no document with kind: Pod");
  } catch (const Wrong& wrong) {
    return Status(EINVAL, wrong.message);
  } catch (const YAML::Exception& error) {
    return Status(EINVAL, std::string("no YAML: ") + error.what());
  }
}

}  // namespace usetl::cri
