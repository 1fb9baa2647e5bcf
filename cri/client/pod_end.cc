#include "cri/client/pod_end.h"

#include <chrono>
#include <optional>

#include "cri/client/call.h"
#include "cri/client/made_pods.h"
#include "cri/client/notice.h"
#include "cri/client/volumes.h"

namespace usetl::cri {
namespace {

constexpr std::chrono::seconds kQuietWait{1};

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
    std::optional<Notice> notice;
    if (grace > kQuietWait.count()) {
      notice.emplace(kQuietWait, "waiting up to " + std::to_string(grace) + " s for " +
                                     container.metadata().name() + " to end");
    }
    const Status status =
        Call(runtime, &Runtime::StopContainer, "StopContainer", stop, &stopped, patience);
    if (first.ok()) first = status;
  }
  return first;
}

// As NewUid() makes them. Whoever made the pod said it, and it becomes part of a path.
bool IsUid(const std::string& uid) {
  return !uid.empty() && uid.find_first_not_of("0123456789abcdef-") == uid.npos;
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
  // A pod that is gone has ended, however.
  return gone.ok() ? Status() : !ended.ok() ? ended : !down.ok() ? down : gone;
}

Status RemovePods(const std::string& socket, const std::string& yaml, ManifestOptions options,
                  std::vector<std::string>* removed) {
  Result<PodManifest> manifest = ParsePodManifest(yaml, options);
  if (!manifest.ok()) return manifest.status();
  const auto runtime = ConnectNode(socket);
  if (!runtime.ok()) return runtime.status();
  const auto pods = FindMadePods(runtime->get(), *manifest);
  if (!pods.ok()) return pods.status();
  Status first;
  for (const v1::PodSandbox& pod : *pods) {
    const Status ended = EndPod(runtime->get(), pod.id(), manifest->grace_seconds);
    if (!ended.ok()) {
      if (first.ok()) first = ended;
      continue;
    }
    removed->push_back(pod.id());
    options.uid = pod.metadata().uid();  // its emptyDirs lie below that
    if (!IsUid(options.uid)) continue;
    const Result<PodManifest> made = ParsePodManifest(yaml, options);
    if (made.ok()) RemoveVolumes(*made);
  }
  return first;
}

}  // namespace usetl::cri
