#include "vmm/base/version.h"

#include "cri/server/runtime_service.h"

namespace usetl::cri {

grpc::Status RuntimeService::Version(grpc::ServerContext*, const v1::VersionRequest*,
                                     v1::VersionResponse* response) {
  response->set_version("0.1.0");  // of the kubelet's runtime interface: checked to the letter
  response->set_runtime_name("usetl");
  response->set_runtime_version(usetl::Version());
  response->set_runtime_api_version("v1");
  return grpc::Status::OK;
}

}  // namespace usetl::cri
