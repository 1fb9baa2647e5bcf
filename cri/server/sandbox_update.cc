#include "cri/server/admission.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

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
  if (usetl::Status status = GiveCgroup(&node_, *sandbox, request->resources()); !status.ok()) {
    return ToGrpc(status);
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
