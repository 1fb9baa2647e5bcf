#include "cri/server/runtime_service.h"
#include "cri/server/stats.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::PodSandboxStats(grpc::ServerContext*,
                                             const v1::PodSandboxStatsRequest* request,
                                             v1::PodSandboxStatsResponse* response) {
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", request->pod_sandbox_id());
  *response->mutable_stats() = StatsOf(&node_, sandbox->Get());
  return grpc::Status::OK;
}

grpc::Status RuntimeService::ListPodSandboxStats(grpc::ServerContext*,
                                                 const v1::ListPodSandboxStatsRequest* request,
                                                 v1::ListPodSandboxStatsResponse* response) {
  for (auto& stats : SelectStats(&node_, request->filter()))
    *response->add_stats() = std::move(stats);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::StreamPodSandboxStats(
    grpc::ServerContext*, const v1::StreamPodSandboxStatsRequest* request,
    grpc::ServerWriter<v1::StreamPodSandboxStatsResponse>* writer) {
  for (auto& stats : SelectStats(&node_, request->filter())) {
    v1::StreamPodSandboxStatsResponse response;
    *response.add_pod_sandbox_stats() = std::move(stats);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
