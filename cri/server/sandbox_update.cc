#include <algorithm>

#include "cri/server/admission.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

// A container that runs without the cgroup of its pod, which then limits nothing.
bool OneIsOutside(const Store& store, const SandboxRecord& pod) {
  return std::ranges::any_of(store.ContainersOf(pod.id()), [&](const auto& container) {
    const std::shared_ptr<const ContainerRecord> record = container->Get();
    if (record->state() == v1::CONTAINER_RUNNING) {
      return pod.cgroup().empty() || record->outside_cgroup();
    }
    // It may have looked for one already.
    return pod.cgroup().empty() && record->state() == v1::CONTAINER_CREATED && container->starting;
  });
}

// A pod that is to be limited has a cgroup afterwards. EINVAL: it cannot.
Status PutIntoCgroup(Node* node, Sandbox& pod) {
  if (OneIsOutside(*node->store, *pod.Get())) {
    return Status(EINVAL,
                  "usetl: limits of a pod want a cgroup, and a container of this one was started "
                  "before there was one; give the pod a cgroup_parent, or limits when it is made");
  }
  USETL_RETURN_IF_ERROR(GiveCgroup(node, pod));
  if (!pod.Get()->cgroup().empty()) return Status();
  return Status(EINVAL,
                "usetl: limits of a pod want a cgroup, and none can be made here, as usetld's log "
                "says; give the pod a cgroup_parent");
}

}  // namespace

grpc::Status RuntimeService::UpdatePodSandboxResources(
    grpc::ServerContext*, const v1::UpdatePodSandboxResourcesRequest* request,
    v1::UpdatePodSandboxResourcesResponse*) {
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", request->pod_sandbox_id());
  if (const auto refused = AdmitCpusets(request->resources())) {
    node_.metrics.CountRefusal(refused->reason);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, refused->text);
  }
  const std::lock_guard lock(sandbox->verb);
  SandboxRecord record = *sandbox->Get();
  if (node_.store->FindSandbox(record.id()) == nullptr) return NotFound("pod sandbox", record.id());
  if (record.state() != v1::SANDBOX_READY) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the pod sandbox " + record.id() + " is not ready");
  }
  if (WantsCgroup(request->resources())) {
    if (usetl::Status status = PutIntoCgroup(&node_, *sandbox); !status.ok()) {
      return ToGrpc(status);
    }
  }
  record = *sandbox->Get();
  v1::LinuxPodSandboxConfig& linux_config = *record.mutable_config()->mutable_linux();
  for (const auto& [mine, asked] :
       {std::pair{linux_config.mutable_resources(), &request->resources()},
        {linux_config.mutable_overhead(), &request->overhead()}}) {
    if (asked->hugepage_limits_size() != 0) mine->clear_hugepage_limits();  // else added to
    mine->MergeFrom(*asked);
  }
  // kubelet has changed the cgroup above; ours would hold the pod to its old limits.
  if (usetl::Status status = LimitCgroup(record); !status.ok()) return ToGrpc(status);
  return ToGrpc(node_.store->Update(std::move(record)));
}

}  // namespace usetl::cri
