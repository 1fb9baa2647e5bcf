#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::RemovePodSandbox(grpc::ServerContext*,
                                              const v1::RemovePodSandboxRequest* request,
                                              v1::RemovePodSandboxResponse*) {
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return grpc::Status::OK;  // as the interface wants it
  if (usetl::Status status = StopSandbox(&node_, *sandbox); !status.ok()) return ToGrpc(status);
  const std::lock_guard lock(sandbox->verb);
  const std::shared_ptr<const SandboxRecord> record = sandbox->Get();
  if (node_.store->FindSandbox(record->id()) == nullptr) return grpc::Status::OK;  // two at a time
  for (const auto& container : node_.store->ContainersOf(record->id())) {
    if (usetl::Status status = RemoveContainerOf(&node_, *container); !status.ok()) {
      return ToGrpc(status);
    }
  }
  // kubelet forgets the pod on this event, which has to show the pod as it was.
  PublishSandboxEvent(&node_, *record, v1::CONTAINER_DELETED_EVENT);
  if (usetl::Status status = node_.store->RemoveSandbox(record->id()); !status.ok()) {
    return ToGrpc(status);
  }
  node_.sandbox_names.Release(SandboxName(record->config().metadata()));
  return grpc::Status::OK;
}

}  // namespace usetl::cri
