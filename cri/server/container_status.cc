#include <nlohmann/json.hpp>

#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::ContainerStatus(grpc::ServerContext*,
                                             const v1::ContainerStatusRequest* request,
                                             v1::ContainerStatusResponse* response) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return NotFound("container", request->container_id());
  const std::shared_ptr<const ContainerRecord> record = container->Get();
  *response->mutable_status() = StatusOf(*record);
  if (request->verbose()) {
    const nlohmann::json info = {
        {"sandboxID", record->sandbox_id()}, {"runtimeType", "usetl"},
        {"pid", record->usf_pid()},          {"workerPid", record->worker_pid()},
        {"usfPid", record->usf_pid()},       {"logLinesLost", record->lines_lost()}};
    (*response->mutable_info())["info"] = info.dump();
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
