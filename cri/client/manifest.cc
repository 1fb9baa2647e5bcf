#include "cri/client/manifest.h"

#include <yaml-cpp/yaml.h>

#include "cri/client/manifest_container.h"
#include "cri/client/manifest_fields.h"
#include "cri/client/manifest_security.h"

namespace usetl::cri {
namespace {

// Fields that a cluster reads: its scheduler, its controllers, the kubelet.
constexpr std::string_view kIdleOfDocument[] = {"status"};
constexpr std::string_view kIdleOfMetadata[] = {
    "clusterName",       "creationTimestamp", "deletionGracePeriodSeconds",
    "deletionTimestamp", "finalizers",        "generateName",
    "generation",        "managedFields",     "ownerReferences",
    "resourceVersion",   "selfLink",          "uid"};
constexpr std::string_view kIdleOfSpec[] = {"activeDeadlineSeconds",
                                            "affinity",
                                            "automountServiceAccountToken",
                                            "dnsConfig",
                                            "dnsPolicy",
                                            "enableServiceLinks",
                                            "hostAliases",
                                            "imagePullSecrets",
                                            "nodeName",
                                            "nodeSelector",
                                            "os",
                                            "overhead",
                                            "preemptionPolicy",
                                            "priority",
                                            "priorityClassName",
                                            "readinessGates",
                                            "resourceClaims",
                                            "resources",
                                            "schedulerName",
                                            "schedulingGates",
                                            "serviceAccount",
                                            "serviceAccountName",
                                            "setHostnameAsFQDN",
                                            "subdomain",
                                            "tolerations",
                                            "topologySpreadConstraints"};
constexpr int64_t kGraceSeconds = 30;  // Kubernetes' own
constexpr int64_t kMostGrace = 24 * 60 * 60;
constexpr std::string_view kIdleOfEmptyDir[] = {"medium", "sizeLimit"};

void ParseHostPath(Fields* host, PodManifest* manifest) {
  static constexpr std::string_view kTypes[] = {"", "Directory", "DirectoryOrCreate", "File",
                                                "FileOrCreate"};
  using Type = PodManifest::HostPath::Type;
  PodManifest::HostPath& path = manifest->host_paths.emplace_back();
  path.path = host->Text("path");
  if (!path.path.starts_with('/')) Fail(host->Path("path"), "is no absolute path");
  const std::string type = host->Text("type");
  if (type == "Socket" || type == "CharDevice" || type == "BlockDevice") {
    Fail(host->Path("type"), "a function can be given files and directories only");
  }
  path.type = static_cast<Type>(host->Choice("type", kTypes));
}

Volumes ParseVolumes(Fields* spec, const ManifestOptions& options, PodManifest* manifest) {
  Volumes volumes;
  size_t index = 0;
  for (const YAML::Node& item : spec->List("volumes")) {
    Fields fields(item, At(spec->Path("volumes"), index++), spec->leftovers());
    const std::string name = fields.Text("name");
    if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') {
      Fail(fields.Path("name"), "names no volume");
    }
    Volume volume;
    if (fields.Has("hostPath")) {
      Fields host(fields.Get("hostPath"), fields.Path("hostPath"), spec->leftovers());
      ParseHostPath(&host, manifest);
      volume = {manifest->host_paths.back().path, /*of_host=*/true};
    } else if (item.IsMap() && fields.Get("emptyDir").IsDefined()) {
      Fields empty(fields.Get("emptyDir"), fields.Path("emptyDir"), spec->leftovers(),
                   kIdleOfEmptyDir);
      volume.path = options.volumes + "/" + options.uid + "/" + name;
      manifest->directories.push_back(volume.path);
    } else {
      Fail(fields.Path("name"), "volume \"" + name +
                                    "\" is neither emptyDir nor hostPath; what else "
                                    "there is wants a cluster");
    }
    if (!volumes.emplace(name, volume).second) Fail(fields.Path("name"), "is there twice");
  }
  return volumes;
}

void ParseMetadata(Fields* document, const ManifestOptions& options, PodManifest* manifest) {
  Fields metadata(document->Get("metadata"), "metadata", document->leftovers(), kIdleOfMetadata);
  v1::PodSandboxConfig& sandbox = manifest->sandbox;
  v1::PodSandboxMetadata& pod = *sandbox.mutable_metadata();
  pod.set_name(metadata.Text("name"));
  pod.set_namespace_(metadata.Text("namespace", "default"));
  pod.set_uid(options.uid);
  for (const std::string& name : {pod.name(), pod.namespace_()}) {
    if (!IsName(name)) {
      metadata.Miss("name", "a pod wants a name of a-z, 0-9, \"-\" and \".\"");
      break;
    }
  }
  metadata.Into("labels", sandbox.mutable_labels());
  metadata.Into("annotations", sandbox.mutable_annotations());
  auto& labels = *sandbox.mutable_labels();
  labels["io.kubernetes.pod.name"] = pod.name();
  labels["io.kubernetes.pod.namespace"] = pod.namespace_();
  labels["io.kubernetes.pod.uid"] = pod.uid();
  labels[kMadeByLabel] = kMadeBy;
  sandbox.set_log_directory(options.logs + "/" + pod.namespace_() + "_" + pod.name() + "_" +
                            pod.uid());
}

void ParseSpec(Fields* document, const ManifestOptions& options, PodManifest* manifest) {
  Fields spec(document->Get("spec"), "spec", document->leftovers(), kIdleOfSpec);
  v1::PodSandboxConfig& sandbox = manifest->sandbox;
  sandbox.set_hostname(spec.Text("hostname", sandbox.metadata().name()));
  const std::string runtime = spec.Text("runtimeClassName", "usetl");
  if (runtime != "usetl") {
    Fail("spec.runtimeClassName", "is \"" + runtime + "\"; this node runs \"usetl\"");
  }
  manifest->grace_seconds = spec.Number("terminationGracePeriodSeconds", kGraceSeconds, kMostGrace);
  spec.Get("restartPolicy");  // whoever runs a manifest by hand starts it again by hand
  v1::NamespaceOption& names =
      *sandbox.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  names.set_pid(spec.Flag("shareProcessNamespace") ? v1::POD : v1::CONTAINER);
  // usetld refuses these, and says why.
  if (spec.Flag("hostNetwork")) names.set_network(v1::NODE);
  if (spec.Flag("hostPID")) names.set_pid(v1::NODE);
  if (spec.Flag("hostIPC")) names.set_ipc(v1::NODE);
  if (!spec.Flag("hostUsers", true)) names.mutable_userns_options()->set_mode(v1::POD);
  spec.Refuse("ephemeralContainers", "is not supported: nothing can join a function's process");
  PodParts pod;
  pod.volumes = ParseVolumes(&spec, options, manifest);
  pod.security = ParsePodSecurity(&spec, &sandbox);
  manifest->fs_group = pod.security.fs_group;
  for (const auto& [list, containers] : {std::pair{"initContainers", &manifest->init_containers},
                                         std::pair{"containers", &manifest->containers}}) {
    pod.init = containers == &manifest->init_containers;
    size_t index = 0;
    for (const YAML::Node& item : spec.List(list)) {
      containers->push_back(
          ParseContainer(item, At(spec.Path(list), index++), pod, spec.leftovers(), &sandbox));
    }
  }
}

// The document that is to be run; others are of other kinds.
YAML::Node OnlyPod(const std::vector<YAML::Node>& documents) {
  std::vector<YAML::Node> pods;
  std::string kinds;
  for (const YAML::Node& document : documents) {
    const YAML::Node kind =
        document.IsMap() ? document["kind"] : YAML::Node(YAML::NodeType::Undefined);
    if (!kind.IsDefined() || !kind.IsScalar()) continue;
    if (kind.Scalar() == "Pod") pods.push_back(document);
    kinds += (kinds.empty() ? "" : ", ") + kind.Scalar();
  }
  if (pods.size() == 1) return pods[0];
  if (!pods.empty()) throw Wrong{"there are several Pods; give each a file of its own"};
  throw Wrong{"there is no document with kind: Pod" +
              (kinds.empty() ? "" : "; there is: " + kinds)};
}

}  // namespace

Result<PodManifest> ParsePodManifest(const std::string& yaml, const ManifestOptions& options) {
  if (yaml.size() > kMostManifest) return Status(EFBIG, "the manifest exceeds 1 MB");
  try {
    const YAML::Node pod = OnlyPod(YAML::LoadAll(yaml));
    const YAML::Node version = pod["apiVersion"];
    if (!version.IsDefined() || !version.IsScalar() || version.Scalar() != "v1") {
      return Status(EINVAL, "apiVersion: a Pod's is v1");
    }
    PodManifest manifest;
    Leftovers leftovers;
    {
      Fields fields(pod, "", &leftovers, kIdleOfDocument);
      fields.Get("apiVersion");
      fields.Get("kind");
      ParseMetadata(&fields, options, &manifest);
      ParseSpec(&fields, options, &manifest);
    }
    if (!leftovers.unknown.empty()) {
      return Status(EINVAL, leftovers.unknown[0] + " is no field of a pod");
    }
    if (!leftovers.missing.empty()) return Status(EINVAL, leftovers.missing[0]);
    if (manifest.containers.empty()) return Status(EINVAL, "spec.containers: is empty");
    manifest.ignored = std::move(leftovers.idle);
    return manifest;
  } catch (const Wrong& wrong) {
    return Status(EINVAL, wrong.message);
  } catch (const YAML::Exception& error) {
    return Status(EINVAL, std::string("no YAML: ") + error.what());
  }
}

}  // namespace usetl::cri
