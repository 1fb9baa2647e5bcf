// manifest.h: a Kubernetes Pod manifest as calls of the CRI: what the kubelet makes of one, as far
// as a node without a cluster can.
#ifndef USETL_CRI_CLIENT_MANIFEST_H_
#define USETL_CRI_CLIENT_MANIFEST_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

inline constexpr size_t kMostManifest = 1 << 20;
// A label of pods that are made from a manifest here, by which they are told from kubelet's.
inline constexpr char kMadeByLabel[] = "usetl.dev/made-by", kMadeBy[] = "usetl-run-pod";

struct PodManifest {
  struct Container {
    v1::ContainerConfig config;
    std::string image, pull_policy;  // "IfNotPresent", "Always" or "Never"
    bool non_root = false;           // refused when the image's user is root
  };
  struct HostPath {
    enum class Type { kAny, kDirectory, kDirectoryOrCreate, kFile, kFileOrCreate };
    std::string path;
    Type type = Type::kAny;
  };
  v1::PodSandboxConfig sandbox;
  std::vector<Container> init_containers, containers;
  std::vector<std::string> directories;  // of emptyDir volumes: to be made, and removed in the end
  int64_t fs_group = -1;                 // that they belong to; -1: none
  int64_t grace_seconds = 0;             // that a container has to end
  std::vector<HostPath> host_paths;
  std::vector<std::string> ignored;  // fields that mean nothing here, as "spec.NAME"
};

struct ManifestOptions {
  std::string uid;      // of the pod
  std::string logs;     // directory of the logs of all pods
  std::string volumes;  // directory of the volumes of all pods
};

// The document of kind Pod in `yaml`, which has only one. EINVAL names the field and says what is
// wrong with it; what would need a cluster (ConfigMaps, valueFrom, ...) is wrong, and what no pod
// has.
Result<PodManifest> ParsePodManifest(const std::string& yaml, const ManifestOptions& options);

// "500m", "64Mi", "1.5G", ...: in thousandths. EINVAL: it is none, or too large.
Result<int64_t> ParseQuantity(std::string_view text);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_MANIFEST_H_
