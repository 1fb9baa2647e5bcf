#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::ReopenContainerLog(grpc::ServerContext*,
                                                const v1::ReopenContainerLogRequest* request,
                                                v1::ReopenContainerLogResponse*) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return NotFound("container", request->container_id());
  const std::lock_guard lock(container->verb);
  const std::shared_ptr<const ContainerRecord> record = container->Get();
  if (record->state() != v1::CONTAINER_RUNNING) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the container " + record->id() + " does not run");
  }
  if (record->log_path().empty()) return grpc::Status::OK;
  Result<Fd> log = OpenLog(record->log_path());
  if (!log.ok()) return ToGrpc(log.status());
  const usetl::Status status = node_.monitor->ReopenLog(record->id(), log->get());
  // After an error there must be no new file: kubelet takes it for the worker's.
  if (!status.ok()) unlink(record->log_path().c_str());
  return ToGrpc(status);
}

}  // namespace usetl::cri
