#include <algorithm>

#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::StopContainer(grpc::ServerContext*,
                                           const v1::StopContainerRequest* request,
                                           v1::StopContainerResponse*) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return grpc::Status::OK;  // as the interface wants it
  constexpr int64_t kMostSeconds = 1'000'000;         // of a grace: what fits milliseconds below
  const int64_t seconds = std::clamp<int64_t>(request->timeout(), 0, kMostSeconds);
  return ToGrpc(StopContainerOf(&node_, *container, std::chrono::seconds(seconds)));
}

}  // namespace usetl::cri
