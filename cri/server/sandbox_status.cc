#include <nlohmann/json.hpp>

#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::PodSandboxStatus(grpc::ServerContext*,
                                              const v1::PodSandboxStatusRequest* request,
                                              v1::PodSandboxStatusResponse* response) {
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", request->pod_sandbox_id());
  // Before anything is read: the answer is at least as new as this says.
  response->set_timestamp(node_.store->NextTimestamp());
  const std::shared_ptr<const SandboxRecord> record = sandbox->Get();
  *response->mutable_status() = StatusOf(*record);
  for (const auto& container : node_.store->ContainersOf(record->id())) {
    *response->add_containers_statuses() = StatusOf(*container->Get());
  }
  if (request->verbose()) {
    nlohmann::json info = {{"sandboxID", record->id()},
                           {"runtimeType", "usetl"},
                           {"runtimeHandler", record->runtime_handler()},
                           {"networkNamespace", record->network_namespace()},
                           {"cgroup", record->cgroup()}};
    if (const auto found = node_.network_check.Found(record->id())) {
      info["networkCheck"] = found->empty() ? "OK" : *found;
    }
    (*response->mutable_info())["info"] =
        info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
