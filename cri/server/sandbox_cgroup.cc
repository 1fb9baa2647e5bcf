#include <spdlog/spdlog.h>

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

bool IsOurs(const SandboxRecord& record) { return record.config().linux().cgroup_parent().empty(); }

// Below its cgroup_parent, or below ours.
Status Plan(Node* node, SandboxRecord* record) {
  const std::string parent = IsOurs(*record) ? DefaultCgroupParent(node->options.cgroup_driver)
                                             : record->config().linux().cgroup_parent();
  Result<std::string> path = PodCgroup::PathFor(parent, record->id());
  if (!path.ok()) return path.status();
  const Result<Hierarchies> hierarchies = ReadHierarchies();
  if (!hierarchies.ok()) return hierarchies.status();
  const std::string above = path->substr(0, path->rfind('/'));
  const auto whose = IsOurs(*record) ? ParentCgroups::Whose::kOurs : ParentCgroups::Whose::kClients;
  const Result<std::vector<std::string>> held =
      node->parents.Hold(*hierarchies, above, whose, record->id());
  if (!held.ok()) return held.status();
  record->set_cgroup(std::move(*path));
  record->mutable_parent_cgroups()->Assign(held->begin(), held->end());
  return Status();
}

std::vector<std::string> ParentsOf(const SandboxRecord& record) {
  return {record.parent_cgroups().begin(), record.parent_cgroups().end()};
}

// What somebody has taken away, as another usetld its parent.
Status Mend(const SandboxRecord& record, const PodCgroup& cgroup) {
  if (cgroup.IsThere()) return Status();
  USETL_RETURN_IF_ERROR(CreateParentCgroups(record));
  return cgroup.Create(LimitsOf(record));
}

}  // namespace

bool LimitsProcessor(const v1::LinuxContainerResources& limits) {
  return limits.cpu_quota() > 0 || limits.cpu_shares() != 0 || !limits.cpuset_cpus().empty() ||
         !limits.cpuset_mems().empty();
}

bool WantsCgroup(const v1::LinuxContainerResources& limits) {
  return LimitsProcessor(limits) || limits.memory_limit_in_bytes() > 0;
}

Status PlanCgroup(Node* node, SandboxRecord* record) {
  if (IsOurs(*record) && !WantsCgroup(record->config().linux().resources())) return Status();
  return Plan(node, record);
}

void UnplanPod(Node* node, const SandboxRecord& record) {
  // Of directories that are not there nothing can fail.
  (void)!node->parents.Drop(ParentsOf(record), record.id()).ok();
}

Status CreateParentCgroups(const SandboxRecord& record) {
  if (record.parent_cgroups().empty()) return Status();
  const Result<Hierarchies> hierarchies = ReadHierarchies();
  if (!hierarchies.ok()) return hierarchies.status();
  const Status made = ParentCgroups::Make(*hierarchies, ParentsOf(record));
  // Another usetld may have removed one between two steps.
  return made.ok() ? made : ParentCgroups::Make(*hierarchies, ParentsOf(record));
}

Status MakeCgroup(const SandboxRecord& record) {
  USETL_RETURN_IF_ERROR(CreateParentCgroups(record));
  return CreateCgroup(record);
}

Status GiveCgroup(Node* node, Sandbox& pod) {
  const std::shared_ptr<const SandboxRecord> record = pod.Get();
  if (!record->cgroup().empty()) return Status();
  SandboxRecord planned = *record;
  USETL_RETURN_IF_ERROR(Plan(node, &planned));
  if (const Status stored = node->store->Update(planned); !stored.ok()) {
    UnplanPod(node, planned);
    return stored;
  }
  const Status made = MakeCgroup(planned);
  if (made.ok()) return made;
  const Status without = DoWithoutCgroup(node, &planned, made);
  if (planned.cgroup().empty()) USETL_RETURN_IF_ERROR(node->store->Update(std::move(planned)));
  return without;
}

Status DoWithoutCgroup(Node* node, SandboxRecord* record, const Status& why) {
  if (!IsOurs(*record)) return why;
  const Result<PodCgroup> cgroup = Find(*record);
  // A node that can make none is one thing, limits that the kernel refuses are another.
  const bool refused = cgroup.ok() && cgroup->IsThere();
  if (!RemoveCgroup(node, record).ok() || refused) return why;  // what is left goes with the pod
  if (!node->cgroups_missed.exchange(true)) {
    spdlog::warn("pods without a cgroup_parent go without limits of the processor: {}",
                 why.message());
  }
  return Status();
}

Status CreateCgroup(const SandboxRecord& record) {
  if (record.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(record);
  if (!cgroup.ok()) return cgroup.status();
  const Status made = cgroup->Create(LimitsOf(record));
  // Another usetld, which saw nobody in there, may have just removed the parent.
  return made.ok() || record.parent_cgroups().empty() || cgroup->IsThere() ? made
                                                                           : Mend(record, *cgroup);
}

Status LimitCgroup(const SandboxRecord& record) {
  if (record.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(record);
  if (!cgroup.ok()) return cgroup.status();
  USETL_RETURN_IF_ERROR(Mend(record, *cgroup));
  return cgroup->Limit(LimitsOf(record));
}

Status RemoveCgroup(Node* node, SandboxRecord* record) {
  if (record->cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(*record);
  if (!cgroup.ok()) return cgroup.status();
  USETL_RETURN_IF_ERROR(cgroup->Remove());
  USETL_RETURN_IF_ERROR(node->parents.Drop(ParentsOf(*record), record->id()));
  record->clear_parent_cgroups();
  record->clear_cgroup();
  return Status();
}

Result<std::vector<CgroupFile>> OpenCgroup(const SandboxRecord& pod,
                                           const ContainerRecord& container) {
  if (pod.cgroup().empty()) return std::vector<CgroupFile>();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  const auto open = [&]() -> Result<std::vector<CgroupFile>> {
    USETL_RETURN_IF_ERROR(cgroup->CreateFor(container.id(), container.resources()));
    return cgroup->OpenProcesses(container.id());
  };
  Result<std::vector<CgroupFile>> opened = open();
  if (opened.ok() || cgroup->IsThere()) return opened;
  USETL_RETURN_IF_ERROR(Mend(pod, *cgroup));
  return open();
}

Status CheckContainerLimits(const SandboxRecord& pod, const v1::LinuxContainerResources& wanted,
                            bool changed) {
  const bool cpusets = !wanted.cpuset_cpus().empty() || !wanted.cpuset_mems().empty();
  const bool processor =
      wanted.cpu_quota() != 0 || wanted.cpu_period() != 0 || wanted.cpu_shares() != 0;
  if (!cpusets && !(changed && processor)) return Status();
  const std::string what = cpusets ? "cpuset_cpus and cpuset_mems" : "limits of the processor";
  if (pod.cgroup().empty() && pod.config().linux().cgroup_parent().empty()) {
    return Status(EINVAL, "usetl: " + what +
                              " want a cgroup; give the pod a cgroup_parent, or the container "
                              "limits of the processor when it is created");
  }
  if (!cpusets || pod.cgroup().empty()) return Status();
  const Result<PodCgroup> cgroup = Find(pod);
  if (!cgroup.ok()) return cgroup.status();
  if (changed) {
    // Nobody keeps a call like this from coming while the pod is stopped: what is gone stays so.
    if (!cgroup->IsThere()) return Status(EAGAIN, "the pod's cgroup is not there");
  } else {
    USETL_RETURN_IF_ERROR(Mend(pod, *cgroup));  // one that is gone has no controllers either
  }
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
