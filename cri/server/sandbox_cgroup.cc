#include "cri/server/lifecycle.h"

namespace usetl::cri {
namespace {

Result<PodCgroup> Find(const SandboxRecord& record) {
  Result<Hierarchies> hierarchies = ReadHierarchies();
  if (!hierarchies.ok()) return hierarchies.status();
  return PodCgroup(std::move(*hierarchies), record.cgroup());
}

}  // namespace

Status CreateCgroup(const SandboxRecord& record) {
  if (record.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(record);
  if (!cgroup.ok()) return cgroup.status();
  return cgroup->Create(record.config().linux().resources());
}

Status LimitCgroup(const SandboxRecord& record) {
  if (record.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(record);
  if (!cgroup.ok()) return cgroup.status();
  return cgroup->Limit(record.config().linux().resources());
}

Status RemoveCgroup(SandboxRecord* record) {
  if (record->cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(*record);
  if (!cgroup.ok()) return cgroup.status();
  USETL_RETURN_IF_ERROR(cgroup->Remove());
  record->clear_cgroup();
  return Status();
}

Result<std::vector<CgroupFile>> OpenCgroup(const SandboxRecord& pod,
                                           const ContainerRecord& container) {
  if (pod.cgroup().empty()) return std::vector<CgroupFile>();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  USETL_RETURN_IF_ERROR(cgroup->CreateFor(container.id(), container.resources()));
  return cgroup->OpenProcesses(container.id());
}

Status LimitContainerCgroup(const SandboxRecord& pod, const ContainerRecord& container) {
  if (pod.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  return cgroup->LimitFor(container.id(), container.resources());
}

Status RemoveContainerCgroup(const SandboxRecord& pod, const std::string& container) {
  if (pod.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  return cgroup->RemoveFor(container);
}

}  // namespace usetl::cri
