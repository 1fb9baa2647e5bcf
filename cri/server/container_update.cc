#include "cri/server/admission.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::UpdateContainerResources(
    grpc::ServerContext*, const v1::UpdateContainerResourcesRequest* request,
    v1::UpdateContainerResourcesResponse*) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return NotFound("container", request->container_id());
  if (const auto refused = AdmitResources(request->linux())) {
    node_.metrics.CountRefusal(refused->reason);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, refused->text);
  }
  const std::lock_guard lock(container->verb);
  ContainerRecord record = *container->Get();
  if (node_.store->FindContainer(record.id()) == nullptr) return NotFound("container", record.id());
  const int64_t before = record.resources().memory_limit_in_bytes();
  const int64_t wanted = request->linux().memory_limit_in_bytes();
  // The limit of a micro-VM is fixed when it starts; never say yes to what is not done.
  if (record.state() == v1::CONTAINER_RUNNING && wanted != 0 && wanted != before) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "usetl: the memory limit of a running function cannot be changed");
  }
  v1::LinuxContainerResources& resources = *record.mutable_resources();
  // What is repeated would be added.
  if (request->linux().hugepage_limits_size() != 0) resources.clear_hugepage_limits();
  resources.MergeFrom(request->linux());
  const std::shared_ptr<Sandbox> pod = node_.store->FindSandbox(record.sandbox_id());
  const v1::LinuxContainerResources& asked = request->linux();
  const bool limits = asked.cpu_quota() != 0 || asked.cpu_period() != 0 ||
                      asked.cpu_shares() != 0 || !asked.cpuset_cpus().empty() ||
                      !asked.cpuset_mems().empty();
  if (limits && pod != nullptr) {
    const usetl::Status fits = CheckContainerLimits(*pod->Get(), asked, /*changed=*/true);
    if (!fits.ok()) return ToGrpc(fits);
  }
  if (record.state() == v1::CONTAINER_RUNNING && limits && pod != nullptr) {
    const usetl::Status limited = LimitContainerCgroup(*pod->Get(), record);
    if (limited.code() == ENOENT) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                          "usetl: a function that was started without limits of the processor, or "
                          "without a cpuset, cannot get some while it runs");
    }
    if (!limited.ok()) return ToGrpc(limited);
  }
  return ToGrpc(node_.store->Update(std::move(record)));
}

}  // namespace usetl::cri
