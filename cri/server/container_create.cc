#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "cri/container/function.h"
#include "cri/container/identity.h"
#include "cri/container/image_volume.h"
#include "cri/server/admission.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

std::string LogPath(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& container) {
  if (container.log_path().empty() || pod.log_directory().empty()) return "";
  return pod.log_directory() + "/" + container.log_path();
}

// From now on the image's runtime stays. ENOENT: it is not there, or was removed meanwhile, and
// whoever did so may not have seen the lease.
Result<image::ImagePtr> LeaseImage(Node* node, const std::string& container,
                                   const std::string& reference) {
  Result<image::ImageLease> lease = node->images->Lease(reference);
  if (!lease.ok()) return lease.status();
  const image::ImagePtr image = lease->shared_image();
  node->leases.Keep(container, std::move(*lease));
  if (const Status listed = node->images->Find(image->id).status(); !listed.ok()) {
    DropImage(node, container, image->id);
    return listed;
  }
  return image;
}

// Drops the lease of a container that does not come to be.
class ImageGuard {
 public:
  ImageGuard(Node* node, const std::string& container, const std::string& image)
      : node_(node), container_(container), image_(image) {}
  ImageGuard(const ImageGuard&) = delete;
  ImageGuard& operator=(const ImageGuard&) = delete;
  ~ImageGuard() {
    if (node_ != nullptr) DropImage(node_, container_, image_);
  }
  void Keep() { node_ = nullptr; }

 private:
  Node* node_;
  const std::string& container_;
  const std::string& image_;
};

// The runtime that is baked from the image; empty: it has no Python, or names a runtime.
Result<std::string> OwnRuntime(Node* node, const SandboxRecord& pod, const image::ImagePtr& image,
                               const grpc::ServerContext& context) {
  using std::chrono::milliseconds;
  if (!NamedRuntime(*image, pod.config()).empty()) return std::string();
  constexpr milliseconds kMost{60'000}, kForTheAnswer{200};
  const auto left = std::chrono::duration_cast<milliseconds>(context.deadline() -
                                                             std::chrono::system_clock::now());
  // An answer that says what goes on has to arrive in time, also from a node that is busy baking.
  const auto patience = std::min(left - std::max(left / 4, kForTheAnswer), kMost);
  return node->runtimes->Get(image, ImageRuntimes::Clock::now() + patience);
}

// Into a cgroup of the pod, which gets one if it has to. REQUIRES: its `verb` is held.
Status FitLimits(Node* node, Sandbox& pod, const v1::LinuxContainerResources& wanted) {
  if (LimitsProcessor(wanted)) USETL_RETURN_IF_ERROR(GiveCgroup(node, pod));
  return CheckContainerLimits(*pod.Get(), wanted, /*changed=*/false);
}

}  // namespace

grpc::Status RuntimeService::CreateContainer(grpc::ServerContext* context,
                                             const v1::CreateContainerRequest* request,
                                             v1::CreateContainerResponse* response) {
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", request->pod_sandbox_id());
  const v1::ContainerConfig& config = request->config();
  if (const auto refused = AdmitContainer(config)) {
    node_.metrics.CountRefusal(refused->reason);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, refused->text);
  }

  Result<std::string> id = NewId();
  if (!id.ok()) return ToGrpc(id.status());
  Result<image::ImagePtr> leased = LeaseImage(&node_, *id, config.image().image());
  if (!leased.ok()) return ImageToGrpc(leased.status());
  const image::Image& image = **leased;
  ImageGuard image_guard(&node_, *id, image.id);
  // Before the lock: it may take as long as the client waits.
  Result<std::string> runtime = OwnRuntime(&node_, *sandbox->Get(), *leased, *context);
  if (!runtime.ok()) {
    if (runtime.status().code() == EINVAL) node_.metrics.CountRefusal("image");
    return ToGrpc(runtime.status());
  }
  // A pod that is being stopped gets no container any more.
  const std::lock_guard lock(sandbox->verb);
  const std::shared_ptr<const SandboxRecord> pod = sandbox->Get();
  if (pod->state() != v1::SANDBOX_READY) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the pod sandbox " + pod->id() + " is not ready");
  }
  const std::string name = ContainerName(config.metadata(), pod->id());
  if (usetl::Status status = node_.container_names.Reserve(name, *id); !status.ok()) {
    return ToGrpc(status.Annotate("failed to reserve container name"));
  }
  NameGuard guard(&node_.container_names, name);
  const Result<Capacity::Place> place = node_.capacity.Take(*id);
  if (!place.ok()) return ToGrpc(place.status());

  ContainerRecord record;
  record.set_id(*id);
  record.set_sandbox_id(pod->id());
  *record.mutable_config() = config;
  record.set_state(v1::CONTAINER_CREATED);
  record.set_created_at(node_.store->NextTimestamp());
  record.set_image_id(image.id);
  record.set_image_ref(image.id);
  record.set_runtime(*runtime);
  record.set_log_path(LogPath(pod->config(), config));
  *record.mutable_resources() = config.linux().resources();
  // What cannot run is refused here, where users see the reason.
  Result<Function> function = ResolveFunction(image, *pod, record, node_.options.runtime);
  if (!function.ok()) {
    if (function.status().code() == EINVAL) node_.metrics.CountRefusal("function");
    return ToGrpc(function.status());
  }
  const Result<Identity> identity = IdentityOf(record, image);
  if (!identity.ok()) {
    if (identity.status().code() == EINVAL) node_.metrics.CountRefusal("user");
    return ToGrpc(identity.status());
  }
  v1::LinuxContainerUser& user = *record.mutable_user();
  user.set_uid(identity->uid);
  user.set_gid(identity->gid);
  user.mutable_supplemental_groups()->Add(identity->groups.begin(), identity->groups.end());
  Result<std::vector<image::ImageLease>> volumes =
      LeaseImageVolumes(node_.images.get(), record.mutable_config());
  if (!volumes.ok()) return ImageToGrpc(volumes.status());
  if (context->IsCancelled()) return ToGrpc(usetl::Status(ECANCELED, "the client gave up"));
  // Last, for it stays with the pod when the container is refused.
  if (const usetl::Status limits = FitLimits(&node_, *sandbox, record.resources()); !limits.ok()) {
    if (limits.code() == EINVAL) node_.metrics.CountRefusal("resources");
    return ToGrpc(limits);
  }
  if (usetl::Status status = node_.store->Add(record); !status.ok()) return ToGrpc(status);
  guard.Keep();
  node_.leases.KeepVolumes(*id, std::move(*volumes));
  image_guard.Keep();
  if (const std::string ignored = IgnoredResources(record.resources()); !ignored.empty()) {
    spdlog::warn("container {}: {}: ignored, a micro-VM has no such limits", *id, ignored);
  }
  PublishContainerEvent(&node_, record, v1::CONTAINER_CREATED_EVENT);
  response->set_container_id(*id);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
