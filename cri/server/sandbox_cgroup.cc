#include <algorithm>
#include <limits>

#include "cri/server/lifecycle.h"

namespace usetl::cri {
namespace {

// kubelet limits the cgroup above by the containers' sum and the overhead, and says the sum alone.
v1::LinuxContainerResources LimitsOf(const SandboxRecord& record) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  constexpr int64_t kPeriod = 100'000;  // us; the kernel's own
  v1::LinuxContainerResources limits = record.config().linux().resources();
  const v1::LinuxContainerResources& overhead = record.config().linux().overhead();
  const auto add = [](int64_t limit, __int128 more) {
    return static_cast<int64_t>(std::min<__int128>(kMost, limit + more));
  };
  const auto period = [](const v1::LinuxContainerResources& of) {
    return of.cpu_period() > 0 ? of.cpu_period() : kPeriod;
  };
  if (limits.memory_limit_in_bytes() > 0 && overhead.memory_limit_in_bytes() > 0) {
    limits.set_memory_limit_in_bytes(
        add(limits.memory_limit_in_bytes(), overhead.memory_limit_in_bytes()));
  }
  if (limits.cpu_quota() > 0 && overhead.cpu_quota() > 0) {
    limits.set_cpu_quota(add(limits.cpu_quota(), static_cast<__int128>(overhead.cpu_quota()) *
                                                     period(limits) / period(overhead)));
  }
  return limits;
}

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
  return cgroup->Create(LimitsOf(record));
}

Status LimitCgroup(const SandboxRecord& record) {
  if (record.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(record);
  if (!cgroup.ok()) return cgroup.status();
  return cgroup->Limit(LimitsOf(record));
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
