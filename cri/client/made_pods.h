// made_pods.h: pods on a node that `usetl run --pod` made, found again by their manifest.
#ifndef USETL_CRI_CLIENT_MADE_PODS_H_
#define USETL_CRI_CLIENT_MADE_PODS_H_

#include <memory>
#include <string>
#include <vector>

#include "cri/client/manifest.h"
#include "runtime.grpc.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// A client of the socket; an error that says how to start a node when there is none.
Result<std::unique_ptr<v1::RuntimeService::Stub>> ConnectNode(const std::string& socket);

// Those that were made from the manifest, or from another one of its name and namespace; pods that
// others made (kubelet, crictl) are not among them. ENOENT: there is none.
Result<std::vector<v1::PodSandbox>> FindMadePods(v1::RuntimeService::Stub* runtime,
                                                 const PodManifest& manifest);

// All of the pod's, in whatever state, in the order of their creation.
Result<std::vector<v1::Container>> ContainersOf(v1::RuntimeService::Stub* runtime,
                                                const std::string& pod);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_MADE_PODS_H_
