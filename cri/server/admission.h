// admission.h: what a USF cannot be or have, refused with one line that says what and why.
//
// Fields that only drop or restrict are accepted: a USF has nothing of what they take away.
#ifndef USETL_CRI_SERVER_ADMISSION_H_
#define USETL_CRI_SERVER_ADMISSION_H_

#include "runtime.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

// EINVAL with the refused field, or OK.
Status AdmitSandbox(const v1::PodSandboxConfig& config, const std::string& runtime_handler);
Status AdmitContainer(const v1::ContainerConfig& config);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_ADMISSION_H_
