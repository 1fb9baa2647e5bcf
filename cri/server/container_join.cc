#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>

#include "cri/server/lifecycle.h"

namespace usetl::cri {
namespace {

// Directories are opened when the container starts, and the worker's service for them is made then.
bool MayChangeDirectories(const v1::ContainerConfig& config) {
  return std::ranges::any_of(config.mounts(), [](const v1::Mount& mount) {
    struct stat info;
    return !mount.readonly() &&
           (stat(mount.host_path().c_str(), &info) != 0 || S_ISDIR(info.st_mode));
  });
}

Status RemoveWorkerFiles(const Node& node, const std::string& container) {
  for (const std::string& path : {ControlSocket(node, container), ExitFile(node, container)}) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path);
  }
  return Status();
}

}  // namespace

Result<Worker> JoinPod(Node* node, const SandboxRecord& pod, const ContainerRecord& container,
                       const Identity& identity, const std::vector<Fd>& writable_directories) {
  Result<Fd> network = Namespaces::Open(pod.network_namespace());
  if (!network.ok()) return network.status();
  Result<std::vector<CgroupFile>> cgroups = OpenCgroup(pod, container);
  if (!cgroups.ok()) return cgroups.status();
  WorkerJoin join;
  join.pods_socket = node->options.pods;
  join.control_socket = ControlSocket(*node, container.id());
  join.exit_file = ExitFile(*node, container.id());
  join.network_namespace = network->get();
  for (const CgroupFile& cgroup : *cgroups) {
    if (cgroup.for_usf) join.usf_cgroups |= 1u << join.cgroups.size();
    join.cgroups.push_back(cgroup.file.get());
  }
  for (const Fd& directory : writable_directories) {
    join.writable_directories.push_back(directory.get());
  }
  join.identity = identity;
  return Worker::Join(join);
}

void JoinAhead(Node* node, const SandboxRecord& pod, const ContainerRecord& container,
               const Identity& identity) {
  if (MayChangeDirectories(container.config())) return;
  Result<Worker> worker = JoinPod(node, pod, container, identity, {});
  if (worker.ok()) return node->joined.Keep(container.id(), std::move(*worker));
  // The start tries again, and says why it fails.
  spdlog::debug("container {}: {}", container.id(), worker.status().message());
  EndWorkerBeforeStart(node, container.id());
}

void EndWorkerBeforeStart(Node* node, const std::string& container) {
  (void)node->joined.Take(container);
  if (const Status removed = RemoveWorkerFiles(*node, container); !removed.ok()) {
    spdlog::warn("container {}: {}", container, removed.message());
  }
}

}  // namespace usetl::cri
