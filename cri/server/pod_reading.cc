#include "cri/server/pod_reading.h"

#include <algorithm>

namespace usetl::cri {

std::vector<PodReading> ReadPods(const std::vector<std::shared_ptr<const SandboxRecord>>& pods) {
  std::vector<PodReading> all(pods.size());
  std::vector<std::string> namespaces;
  for (const auto& pod : pods) namespaces.push_back(pod->network_namespace());
  std::vector<Interfaces> interfaces = ReadInterfaces(namespaces);
  const bool any_cgroup =
      std::ranges::any_of(pods, [](const auto& pod) { return !pod->cgroup().empty(); });
  Hierarchies hierarchies;
  if (any_cgroup) {
    // Without them nothing is said of any cgroup.
    if (Result<Hierarchies> found = ReadHierarchies(); found.ok()) hierarchies = std::move(*found);
  }
  for (size_t i = 0; i < pods.size(); ++i) {
    all[i].interfaces = std::move(interfaces[i]);
    if (pods[i]->cgroup().empty()) continue;
    all[i].cgroup.emplace(hierarchies, pods[i]->cgroup());
    all[i].events = all[i].cgroup->ReadEvents();
  }
  return all;
}

}  // namespace usetl::cri
