#include <nlohmann/json.hpp>

#include "cri/server/runtime_service.h"
#include "cri/server/views.h"
#include "vmm/ipc/socket.h"

namespace usetl::cri {
namespace {

v1::RuntimeCondition Condition(const char* type, const Status& status, const char* reason) {
  v1::RuntimeCondition condition;
  condition.set_type(type);
  condition.set_status(status.ok());
  if (!status.ok()) {
    condition.set_reason(reason);
    condition.set_message(status.message());
  }
  return condition;
}

}  // namespace

grpc::Status RuntimeService::Status(grpc::ServerContext*, const v1::StatusRequest* request,
                                    v1::StatusResponse* response) {
  // That its daemons answer is what makes a node ready.
  const Result<Fd> pods = ipc::Connect(node_.options.pods);
  *response->mutable_status()->add_conditions() =
      Condition("RuntimeReady", pods.status(), "ProxyUnreachable");
  *response->mutable_status()->add_conditions() =
      Condition("NetworkReady", node_.options.network ? node_.cni.Ready() : usetl::Status(),
                "NetworkPluginNotReady");
  response->add_runtime_handlers()->set_name("");
  response->add_runtime_handlers()->set_name("usetl");
  if (request->verbose()) {
    const nlohmann::json info = {
        {"version", USETL_VERSION},
        {"sandboxes", node_.store->Sandboxes().size()},
        {"containers", node_.store->Containers().size()},
        {"runtime", node_.options.runtime},
        {"network", node_.options.network},
    };
    (*response->mutable_info())["usetl"] = info.dump();
  }
  return grpc::Status::OK;
}

grpc::Status RuntimeService::RuntimeConfig(grpc::ServerContext*, const v1::RuntimeConfigRequest*,
                                           v1::RuntimeConfigResponse* response) {
  response->mutable_linux()->set_cgroup_driver(v1::CGROUPFS);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::UpdateRuntimeConfig(grpc::ServerContext*,
                                                 const v1::UpdateRuntimeConfigRequest*,
                                                 v1::UpdateRuntimeConfigResponse*) {
  // The pod CIDR, which this runtime needs for nothing: addresses are the plugins' business.
  return grpc::Status::OK;
}

}  // namespace usetl::cri
