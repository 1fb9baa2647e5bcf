// manifest_container.h: a container of a manifest as a ContainerConfig.
#ifndef USETL_CRI_CLIENT_MANIFEST_CONTAINER_H_
#define USETL_CRI_CLIENT_MANIFEST_CONTAINER_H_

#include <map>

#include "cri/client/manifest.h"
#include "cri/client/manifest_fields.h"
#include "cri/client/manifest_security.h"

namespace usetl::cri {

struct Volume {
  std::string path;      // on the host
  bool of_host = false;  // hostPath, else emptyDir
};
using Volumes = std::map<std::string, Volume>;  // by their names

// What containers take from the pod.
struct PodParts {
  Volumes volumes;
  PodSecurity security;
  bool init = false;  // of initContainers
};

// Names become parts of paths.
bool IsName(const std::string& name);

// `where` names the container in errors. Ports and privileges are said to `sandbox` too.
PodManifest::Container ParseContainer(const YAML::Node& item, const std::string& where,
                                      const PodParts& pod, Leftovers* leftovers,
                                      v1::PodSandboxConfig* sandbox);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_MANIFEST_CONTAINER_H_
