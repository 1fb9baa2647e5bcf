#include "cri/client/pod_end.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "cri/client/call.h"
#include "cri/client/find_node.h"
#include "cri/client/volumes.h"

namespace usetl::cri {
namespace {

using Runtime = v1::RuntimeService::Stub;

Status StopContainers(Runtime* runtime, const std::string& pod, int64_t grace) {
  v1::ListContainersRequest list;
  list.mutable_filter()->set_pod_sandbox_id(pod);
  list.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
  v1::ListContainersResponse running;
  USETL_RETURN_IF_ERROR(Call(runtime, &Runtime::ListContainers, "ListContainers", list, &running));
  const auto patience =
      kPatience + std::chrono::ceil<std::chrono::minutes>(std::chrono::seconds(grace));
  Status first;
  for (const v1::Container& container : running.containers()) {
    v1::StopContainerRequest stop;
    stop.set_container_id(container.id());
    stop.set_timeout(grace);
    v1::StopContainerResponse stopped;
    const Status status =
        Call(runtime, &Runtime::StopContainer, "StopContainer", stop, &stopped, patience);
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace

Status EndPod(Runtime* runtime, const std::string& pod, int64_t grace) {
  const Status ended = StopContainers(runtime, pod, grace);
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod);
  v1::StopPodSandboxResponse stopped;
  const Status down = Call(runtime, &Runtime::StopPodSandbox, "StopPodSandbox", stop, &stopped);
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod);
  v1::RemovePodSandboxResponse removed;
  const Status gone =
      Call(runtime, &Runtime::RemovePodSandbox, "RemovePodSandbox", remove, &removed);
  return !ended.ok() ? ended : !down.ok() ? down : gone;
}

Result<std::vector<std::string>> RemovePods(const std::string& socket, const std::string& yaml,
                                            ManifestOptions options) {
  Result<PodManifest> manifest = ParsePodManifest(yaml, options);
  if (!manifest.ok()) return manifest.status();
  USETL_RETURN_IF_ERROR(FindNode(socket));
  const std::unique_ptr<Runtime> runtime = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix://" + socket, grpc::InsecureChannelCredentials()));
  const v1::PodSandboxMetadata wanted = manifest->sandbox.metadata();
  v1::ListPodSandboxRequest list;
  auto& labels = *list.mutable_filter()->mutable_label_selector();
  labels["io.kubernetes.pod.name"] = wanted.name();
  labels["io.kubernetes.pod.namespace"] = wanted.namespace_();
  v1::ListPodSandboxResponse pods;
  USETL_RETURN_IF_ERROR(
      Call(runtime.get(), &Runtime::ListPodSandbox, "ListPodSandbox", list, &pods));
  if (pods.items().empty()) {
    return Status(ENOENT, "no pod " + wanted.namespace_() + "/" + wanted.name() +
                              " is on this node; it was removed, or its manifest renamed");
  }
  std::vector<std::string> ids;
  for (const v1::PodSandbox& pod : pods.items()) {
    USETL_RETURN_IF_ERROR(EndPod(runtime.get(), pod.id(), manifest->grace_seconds));
    options.uid = pod.metadata().uid();  // its emptyDirs lie below that
    const Result<PodManifest> own = ParsePodManifest(yaml, options);
    if (own.ok()) RemoveVolumes(*own);
    ids.push_back(pod.id());
  }
  return ids;
}

}  // namespace usetl::cri
