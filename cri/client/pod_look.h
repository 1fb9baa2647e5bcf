// pod_look.h: a look at a pod that `usetl run --pod --detach` left running, and into it.
#ifndef USETL_CRI_CLIENT_POD_LOOK_H_
#define USETL_CRI_CLIENT_POD_LOOK_H_

#include <string>
#include <vector>

#include "cri/client/manifest.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Prints what the containers of the manifest's pods use, a line each, and how those ended that run
// no more.
Status ShowStats(const std::string& socket, const PodManifest& manifest);

// Runs a program beside the function of a running container (empty: the first that there is),
// passes its output on, and returns its exit status.
Result<int> ExecInPod(const std::string& socket, const PodManifest& manifest,
                      const std::string& container, const std::vector<std::string>& command);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_POD_LOOK_H_
