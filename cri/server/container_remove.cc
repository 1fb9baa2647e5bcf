#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::RemoveContainer(grpc::ServerContext*,
                                             const v1::RemoveContainerRequest* request,
                                             v1::RemoveContainerResponse*) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return grpc::Status::OK;  // as the interface wants it
  return ToGrpc(RemoveContainerOf(&node_, *container));
}

}  // namespace usetl::cri
