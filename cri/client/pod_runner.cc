#include "cri/client/pod_runner.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cri/client/call.h"
#include "cri/client/find_node.h"
#include "cri/client/image_user.h"
#include "cri/client/made_pods.h"
#include "cri/client/notice.h"
#include "cri/client/pod_end.h"
#include "cri/client/volumes.h"
#include "vmm/base/installation.h"

namespace usetl::cri {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // at logs and states
constexpr std::chrono::minutes kPullPatience{30};
constexpr std::chrono::seconds kQuietWait{2};  // for an init container

// Names such as localhost/web are those of images that were built here, mostly without a registry.
bool IsMissingLocalImage(const std::string& image, const Status& status) {
  return image.starts_with("localhost/") &&
         status.message().find("connect to server") != std::string::npos;
}

using Runtime = v1::RuntimeService::Stub;
using Images = v1::ImageService::Stub;

}  // namespace

PodRunner::PodRunner(const std::string& socket, PodManifest manifest, Interrupts* interrupts)
    : socket_(socket),
      interrupts_(*interrupts),
      manifest_(std::move(manifest)),
      channel_(grpc::CreateChannel("unix://" + socket, grpc::InsecureChannelCredentials())),
      runtime_(v1::RuntimeService::NewStub(channel_)),
      images_(v1::ImageService::NewStub(channel_)) {}

template <typename Stub, typename Method, typename Request, typename Response>
Status PodRunner::Ask(Stub* stub, Method method, const char* name, const Request& request,
                      Response* response, std::chrono::minutes patience) {
  return Call(stub, method, name, request, response, patience, &interrupts_);
}

std::string PodRunner::StoreOption() {
  v1::ImageFsInfoResponse there;
  const Status status = Call(images_.get(), &Images::ImageFsInfo, "ImageFsInfo", {}, &there);
  if (!status.ok() || there.image_filesystems().empty()) return "";
  const std::string& store = there.image_filesystems(0).fs_id().mountpoint();
  return store == ImageStoreOf(kDefaultNode) ? "" : " --store " + store;
}

Status PodRunner::EnsureImage(PodManifest::Container* container) {
  v1::ImageSpec& image = *container->config.mutable_image();
  image.set_user_specified_image(container->image);
  image.set_image(container->image);
  v1::ImageStatusRequest ask;
  *ask.mutable_image() = image;
  v1::ImageStatusResponse there;
  USETL_RETURN_IF_ERROR(Ask(images_.get(), &Images::ImageStatus, "ImageStatus", ask, &there));
  if (there.has_image() && container->pull_policy != "Always") {
    image.set_image(there.image().id());
    return ApplyImageUser(there.image(), container);
  }
  if (container->pull_policy == "Never") {
    return Status(ENOENT, "the image " + container->image + " is not there; usetl image pull" +
                              StoreOption() + " " + container->image + ", or import");
  }
  std::fprintf(stderr, "pulling %s ...\n", container->image.c_str());
  v1::PullImageRequest pull;
  *pull.mutable_image() = image;
  *pull.mutable_sandbox_config() = manifest_.sandbox;
  v1::PullImageResponse pulled;
  const Status status =
      Ask(images_.get(), &Images::PullImage, "PullImage", pull, &pulled, kPullPatience);
  if (!status.ok()) {
    if (!IsMissingLocalImage(container->image, status)) return status;
    return Status(status.code(), status.message() + " (usetl image import" + StoreOption() +
                                     " FILE --name " + container->image +
                                     ", if it is a local one)");
  }
  image.set_image(pulled.image_ref());
  *ask.mutable_image() = image;
  there.Clear();
  USETL_RETURN_IF_ERROR(Ask(images_.get(), &Images::ImageStatus, "ImageStatus", ask, &there));
  return ApplyImageUser(there.image(), container);
}

Result<std::string> PodRunner::StartContainer(PodManifest::Container* container) {
  USETL_RETURN_IF_ERROR(EnsureImage(container));
  v1::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod_);
  *create.mutable_config() = container->config;
  *create.mutable_sandbox_config() = manifest_.sandbox;
  v1::CreateContainerResponse created;
  USETL_RETURN_IF_ERROR(
      Ask(runtime_.get(), &Runtime::CreateContainer, "CreateContainer", create, &created));
  v1::StartContainerRequest start;
  start.set_container_id(created.container_id());
  v1::StartContainerResponse started;
  USETL_RETURN_IF_ERROR(
      Ask(runtime_.get(), &Runtime::StartContainer, "StartContainer", start, &started));
  return created.container_id();
}

Result<v1::ContainerStatus> PodRunner::StatusOf(const std::string& container) {
  v1::ContainerStatusRequest ask;
  ask.set_container_id(container);
  v1::ContainerStatusResponse answer;
  USETL_RETURN_IF_ERROR(
      Ask(runtime_.get(), &Runtime::ContainerStatus, "ContainerStatus", ask, &answer));
  return answer.status();
}

Status PodRunner::RefuseSecond() {
  const Result<std::vector<v1::PodSandbox>> made = FindMadePods(runtime_.get(), manifest_);
  if (!made.ok()) return made.status().code() == ENOENT ? Status() : made.status();
  for (const v1::PodSandbox& pod : *made) {
    if (pod.state() != v1::SANDBOX_READY) continue;
    const auto containers = ContainersOf(runtime_.get(), pod.id());
    if (!containers.ok()) return containers.status();
    const bool ended =
        !containers->empty() && std::ranges::all_of(*containers, [](const v1::Container& one) {
          return one.state() == v1::CONTAINER_EXITED;
        });
    return Status(EEXIST, "pod " + pod.metadata().namespace_() + "/" + pod.metadata().name() +
                              (ended ? " is there already (ended); --stats says how, --remove "
                                       "removes it"
                                     : " runs already; --stats shows it, --remove ends it"));
  }
  return Status();
}

Status PodRunner::Start() {
  USETL_RETURN_IF_ERROR(FindNode(socket_));
  USETL_RETURN_IF_ERROR(RefuseSecond());
  USETL_RETURN_IF_ERROR(PrepareVolumes(manifest_));
  v1::RunPodSandboxRequest run;
  *run.mutable_config() = manifest_.sandbox;
  run.set_runtime_handler("usetl");
  v1::RunPodSandboxResponse made;
  // To its end: only its answer says which pod is to be removed.
  USETL_RETURN_IF_ERROR(Call(runtime_.get(), &Runtime::RunPodSandbox, "RunPodSandbox", run, &made));
  pod_ = made.pod_sandbox_id();
  v1::PodSandboxStatusRequest ask;
  ask.set_pod_sandbox_id(pod_);
  ask.set_verbose(true);
  v1::PodSandboxStatusResponse status;
  USETL_RETURN_IF_ERROR(
      Ask(runtime_.get(), &Runtime::PodSandboxStatus, "PodSandboxStatus", ask, &status));
  address_ = status.status().network().ip();
  const auto info =
      nlohmann::json::parse(status.info().contains("info") ? status.info().at("info") : "", nullptr,
                            /*allow_exceptions=*/false);
  if (info.is_object()) namespace_ = info.value("networkNamespace", "");

  const bool several = manifest_.containers.size() + manifest_.init_containers.size() > 1;
  const auto log_of = [&](const PodManifest::Container& container) {
    const std::string& name = container.config.metadata().name();
    return LogPrinter(manifest_.sandbox.log_directory() + "/" + container.config.log_path(),
                      several ? name + ": " : "");
  };
  for (PodManifest::Container& container : manifest_.init_containers) {
    Result<std::string> id = StartContainer(&container);
    if (!id.ok()) return id.status();
    LogPrinter log = log_of(container);
    const std::string name = "init container " + container.config.metadata().name();
    const Notice notice(kQuietWait, "waiting for " + name);
    const Result<int> code = WaitForExit(*id, &log);
    if (!code.ok()) return code.status();
    if (*code == 0) continue;
    failure_ = *code;
    return Status(ECHILD, name + " ended with status " + std::to_string(*code));
  }
  for (PodManifest::Container& container : manifest_.containers) {
    Result<std::string> id = StartContainer(&container);
    if (!id.ok()) return id.status();
    running_.push_back({*id, log_of(container)});
  }
  return Status();
}

Result<int> PodRunner::WaitForExit(const std::string& container, LogPrinter* log) {
  for (;;) {
    const Result<v1::ContainerStatus> status = StatusOf(container);  // an error after a signal
    log->Print();
    if (!status.ok()) return status.status();
    if (status->state() == v1::CONTAINER_EXITED) return status->exit_code();
    std::this_thread::sleep_for(kLook);
  }
}

Result<int> PodRunner::Follow() {
  for (int first = 0;;) {
    bool runs = false;
    for (Running& container : running_) {
      const Result<v1::ContainerStatus> status = StatusOf(container.id);
      container.log.Print();
      if (interrupts_.signal() != 0) return first;
      if (!status.ok()) return status.status();
      if (status->state() != v1::CONTAINER_EXITED) runs = true;
      if (first == 0 && status->state() == v1::CONTAINER_EXITED) first = status->exit_code();
    }
    if (!runs) return first;
    std::this_thread::sleep_for(kLook);
  }
}

Status PodRunner::Remove() {
  Status ended;
  if (!pod_.empty()) ended = EndPod(runtime_.get(), pod_, manifest_.grace_seconds);
  for (Running& container : running_) container.log.Print();
  RemoveVolumes(manifest_);
  return ended;
}

}  // namespace usetl::cri
