#include "cri/client/made_pods.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iterator>

#include "cri/client/call.h"
#include "cri/client/find_node.h"

namespace usetl::cri {

using Runtime = v1::RuntimeService::Stub;

Result<std::unique_ptr<Runtime>> ConnectNode(const std::string& socket) {
  USETL_RETURN_IF_ERROR(FindNode(socket));
  return v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix://" + socket, grpc::InsecureChannelCredentials()));
}

Result<std::vector<v1::PodSandbox>> FindMadePods(Runtime* runtime, const PodManifest& manifest) {
  const v1::PodSandboxMetadata& wanted = manifest.sandbox.metadata();
  v1::ListPodSandboxRequest list;
  auto& labels = *list.mutable_filter()->mutable_label_selector();
  labels["io.kubernetes.pod.name"] = wanted.name();
  labels["io.kubernetes.pod.namespace"] = wanted.namespace_();
  labels[kMadeByLabel] = kMadeBy;
  v1::ListPodSandboxResponse pods;
  USETL_RETURN_IF_ERROR(Call(runtime, &Runtime::ListPodSandbox, "ListPodSandbox", list, &pods));
  // Labels say what somebody wanted them to say.
  std::vector<v1::PodSandbox> made;
  std::ranges::copy_if(pods.items(), std::back_inserter(made), [&](const v1::PodSandbox& pod) {
    return pod.metadata().name() == wanted.name() &&
           pod.metadata().namespace_() == wanted.namespace_();
  });
  if (!made.empty()) return made;
  return Status(ENOENT, "no pod " + wanted.namespace_() + "/" + wanted.name() +
                            " is on this node; it was removed, or its manifest renamed");
}

Result<std::vector<v1::Container>> ContainersOf(Runtime* runtime, const std::string& pod) {
  v1::ListContainersRequest list;
  list.mutable_filter()->set_pod_sandbox_id(pod);
  v1::ListContainersResponse found;
  USETL_RETURN_IF_ERROR(Call(runtime, &Runtime::ListContainers, "ListContainers", list, &found));
  std::vector<v1::Container> containers(found.containers().begin(), found.containers().end());
  std::ranges::sort(containers, {}, &v1::Container::created_at);
  return containers;
}

}  // namespace usetl::cri
