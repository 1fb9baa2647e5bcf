// admission.h: what a USF cannot be or have, refused with one line that says what and why.
//
// Fields that only drop or restrict are accepted: a USF has nothing of what they take away.
#ifndef USETL_CRI_SERVER_ADMISSION_H_
#define USETL_CRI_SERVER_ADMISSION_H_

#include <optional>
#include <string>
#include <string_view>

#include "runtime.pb.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

struct Refusal {
  std::string_view reason;  // one of a fixed set of words, for metrics
  std::string text;         // for users
};

// The first field that is refused.
std::optional<Refusal> AdmitSandbox(const v1::PodSandboxConfig& config,
                                    const std::string& runtime_handler);
std::optional<Refusal> AdmitContainer(const v1::ContainerConfig& config);
// Of a pod.
std::optional<Refusal> AdmitCpusets(const v1::LinuxContainerResources& resources);
// Of a container, new or changed.
std::optional<Refusal> AdmitResources(const v1::LinuxContainerResources& resources);

// Names of the limits that are accepted and do nothing, with commas; empty: all of them count.
std::string IgnoredResources(const v1::LinuxContainerResources& resources);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_ADMISSION_H_
