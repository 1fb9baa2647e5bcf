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

Status CheckContainerLimits(const SandboxRecord& pod, const v1::LinuxContainerResources& wanted,
                            bool changed) {
  const bool cpusets = !wanted.cpuset_cpus().empty() || !wanted.cpuset_mems().empty();
  const bool processor =
      wanted.cpu_quota() != 0 || wanted.cpu_period() != 0 || wanted.cpu_shares() != 0;
  if (!cpusets && !(changed && processor)) return Status();
  const std::string what = cpusets ? "cpuset_cpus and cpuset_mems" : "limits of the processor";
  if (pod.config().linux().cgroup_parent().empty()) {
    return Status(EINVAL, "usetl: " + what + " want a cgroup; give the pod a cgroup_parent");
  }
  if (!cpusets || pod.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  if (cgroup->HasCpuset()) return Status();
  return Status(EINVAL, "usetl: " + what +
                            " are not supported here: the pod's cgroup has no cpuset controller; "
                            "enable it on the node, or leave them out");
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
