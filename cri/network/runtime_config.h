// runtime_config.h: what a pod's manifest means to network plugins.
#ifndef USETL_CRI_NETWORK_RUNTIME_CONFIG_H_
#define USETL_CRI_NETWORK_RUNTIME_CONFIG_H_

#include <nlohmann/json.hpp>
#include <string>

#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// By capability; only those that the pod has something for. EINVAL for what cannot be meant.
Result<nlohmann::json> RuntimeConfigOf(const runtime::v1::PodSandboxConfig& pod);

// CNI_ARGS: who the pod is. EINVAL for a name that would be read as further arguments.
Result<std::string> CniArguments(const SandboxRecord& record);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_RUNTIME_CONFIG_H_
