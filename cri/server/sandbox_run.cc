#include "cri/server/admission.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::RunPodSandbox(grpc::ServerContext* context,
                                           const v1::RunPodSandboxRequest* request,
                                           v1::RunPodSandboxResponse* response) {
  const v1::PodSandboxConfig& config = request->config();
  if (const auto refused = AdmitSandbox(config, request->runtime_handler())) {
    node_.metrics.CountRefusal(refused->reason);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, refused->text);
  }
  // Its containers could not start, which kubelet would hear much later.
  if (usetl::Status room = node_.capacity.Check(); !room.ok()) return ToGrpc(room);
  Result<std::string> id = NewId();
  if (!id.ok()) return ToGrpc(id.status());
  const std::string name = SandboxName(config.metadata());
  if (usetl::Status status = node_.sandbox_names.Reserve(name, *id); !status.ok()) {
    return ToGrpc(status.Annotate("failed to reserve sandbox name"));
  }
  NameGuard guard(&node_.sandbox_names, name);

  SandboxRecord record;
  record.set_id(*id);
  *record.mutable_config() = config;
  record.set_runtime_handler(request->runtime_handler());
  record.set_state(v1::SANDBOX_READY);
  if (usetl::Status status = PlanPod(&node_, &record); !status.ok()) return ToGrpc(status);
  if (usetl::Status status = node_.store->Plan(record); !status.ok()) {
    UnplanPod(&node_, record);
    return ToGrpc(status);
  }
  usetl::Status status = EquipPod(&node_, &record);
  if (status.ok() && context->IsCancelled()) {
    // The client repeats the call with the same name: nothing may be left of this one.
    status = usetl::Status(ECANCELED, "the client gave up");
  }
  record.set_created_at(node_.store->NextTimestamp());
  if (status.ok()) status = node_.store->Add(record);
  if (!status.ok()) {
    usetl::Status undo = ReleasePod(&node_, &record);
    if (undo.ok()) {
      // Else the next usetld releases it once more.
      undo = node_.store->Forget(*id);
    }
    if (!undo.ok()) {
      status = usetl::Status(status.code(),
                             status.message() + " (and cleaning up: " + undo.message() + ")");
      // It stays listed, so that the client removes it, which tries again.
      record.set_state(v1::SANDBOX_NOTREADY);
      if (undo = node_.store->Add(record); undo.ok()) {
        guard.Keep();
      } else {
        status = usetl::Status(status.code(), status.message() + "; " + undo.message());
      }
    }
    return ToGrpc(status);
  }
  guard.Keep();
  PublishSandboxEvent(&node_, record, v1::CONTAINER_CREATED_EVENT);
  PublishSandboxEvent(&node_, record, v1::CONTAINER_STARTED_EVENT);
  response->set_pod_sandbox_id(*id);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
