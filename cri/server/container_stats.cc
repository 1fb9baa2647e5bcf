#include "cri/server/runtime_service.h"
#include "cri/server/stats.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::ContainerStats(grpc::ServerContext*,
                                            const v1::ContainerStatsRequest* request,
                                            v1::ContainerStatsResponse* response) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return NotFound("container", request->container_id());
  *response->mutable_stats() = StatsOf(&node_, *container->Get());
  return grpc::Status::OK;
}

grpc::Status RuntimeService::ListContainerStats(grpc::ServerContext*,
                                                const v1::ListContainerStatsRequest* request,
                                                v1::ListContainerStatsResponse* response) {
  for (auto& stats : SelectStats(&node_, request->filter()))
    *response->add_stats() = std::move(stats);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::StreamContainerStats(
    grpc::ServerContext*, const v1::StreamContainerStatsRequest* request,
    grpc::ServerWriter<v1::StreamContainerStatsResponse>* writer) {
  for (auto& stats : SelectStats(&node_, request->filter())) {
    v1::StreamContainerStatsResponse response;
    *response.add_container_stats() = std::move(stats);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
