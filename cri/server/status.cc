#include <nlohmann/json.hpp>

#include "cri/metrics/pool_state.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"
#include "vmm/base/version.h"

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

nlohmann::json PoolInfo(const std::string& vmmd_socket) {
  const Result<PoolState> pool = ReadPoolState(vmmd_socket);
  if (!pool.ok()) return {{"error", pool.status().message()}};
  return {{"runtime", pool->runtime},
          {"wanted", pool->wanted},
          {"starting", pool->starting},
          {"idle", pool->idle},
          {"claimed", pool->claimed},
          {"rolling", pool->rolling},
          {"cloning", pool->cloning},
          {"made", pool->made},
          {"retired", pool->retired},
          {"rolledBack", pool->rolled_back},
          {"lost", pool->lost},
          {"stuck", pool->stuck},
          {"claimsHit", pool->claims_hit},
          {"claimsWaited", pool->claims_waited},
          {"claimsFailed", pool->claims_failed}};
}

nlohmann::json ConfigInfo(const NodeOptions& options) {
  return {
      {"socket", options.socket},
      {"stateDirectory", options.state},
      {"imageDirectory", options.images},
      {"podsSocket", options.pods},
      {"vmmdSocket", options.vmmd},
      {"namespaceDirectory", options.network_directory},
      {"runtime", options.runtime},
      {"streamingAddress", options.streaming_address},
      {"metricsAddress", options.metrics_address},
      {"readyNamespaces", options.ready_namespaces},
      {"network", options.network},
      {"cgroupDriver", options.cgroup_driver == CgroupDriver::kSystemd ? "systemd" : "cgroupfs"},
      {"registries",
       {{"mirrors", options.registries.mirrors},
        {"insecure", options.registries.insecure},
        {"ca", options.registries.ca_file},
        {"pinned", options.registries.pinned}}},
      {"cni",
       {{"confDirectory", options.cni.configs}, {"binDirectories", options.cni.directories}}}};
}

// As JSON; paths of the host may hold any bytes.
std::string Text(const nlohmann::json& info) {
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

grpc::Status RuntimeService::Status(grpc::ServerContext*, const v1::StatusRequest* request,
                                    v1::StatusResponse* response) {
  // That its daemons answer is what makes a node ready.
  const Health::Answer health = node_.health.Check();
  *response->mutable_status()->add_conditions() =
      Condition("RuntimeReady", health.status, health.reason);
  const usetl::Status network = node_.options.network ? node_.cni.Ready() : usetl::Status();
  *response->mutable_status()->add_conditions() =
      Condition("NetworkReady", network, "NetworkPluginNotReady");
  response->add_runtime_handlers()->set_name("");
  response->add_runtime_handlers()->set_name("usetl");
  if (request->verbose()) {
    const nlohmann::json info = {
        {"version", usetl::Version()},
        {"sandboxes", node_.store->Sandboxes().size()},
        {"containers", node_.store->Containers().size()},
        {"runtime", node_.options.runtime},
        {"network", node_.options.network},
        {"pool", PoolInfo(node_.options.vmmd)},
    };
    auto& all = *response->mutable_info();
    all["usetl"] = Text(info);
    all["config"] = Text(ConfigInfo(node_.options));
    if (node_.options.network) all["lastCNILoadStatus"] = network.ok() ? "OK" : network.message();
  }
  return grpc::Status::OK;
}

grpc::Status RuntimeService::RuntimeConfig(grpc::ServerContext*, const v1::RuntimeConfigRequest*,
                                           v1::RuntimeConfigResponse* response) {
  const bool systemd = node_.options.cgroup_driver == CgroupDriver::kSystemd;
  response->mutable_linux()->set_cgroup_driver(systemd ? v1::SYSTEMD : v1::CGROUPFS);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::UpdateRuntimeConfig(grpc::ServerContext*,
                                                 const v1::UpdateRuntimeConfigRequest*,
                                                 v1::UpdateRuntimeConfigResponse*) {
  // The pod CIDR, which this runtime needs for nothing: addresses are the plugins' business.
  return grpc::Status::OK;
}

}  // namespace usetl::cri
