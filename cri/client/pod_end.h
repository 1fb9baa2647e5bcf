// pod_end.h: how pods end: by the word of who ran them, or of somebody later.
#ifndef USETL_CRI_CLIENT_POD_END_H_
#define USETL_CRI_CLIENT_POD_END_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cri/client/manifest.h"
#include "runtime.grpc.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Ends the containers that run, each within `grace` seconds, and removes the pod. The first error,
// when the pod is still there; what can be done beyond it is done.
Status EndPod(v1::RuntimeService::Stub* runtime, const std::string& pod, int64_t grace);

// Ends the pods that were made from the manifest (made_pods.h) and removes them with their
// emptyDirs. Adds the ids of those that are gone. ENOENT: there is none; else the first error.
Status RemovePods(const std::string& socket, const std::string& yaml, ManifestOptions options,
                  std::vector<std::string>* removed);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_POD_END_H_
