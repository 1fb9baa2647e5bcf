// reports.h: how a program ended, as version 4 of Kubernetes' protocol has it on the error stream.
#ifndef USETL_CRI_STREAMING_REPORTS_H_
#define USETL_CRI_STREAMING_REPORTS_H_

#include <string>

#include "vmm/base/status.h"

namespace usetl::cri::streaming {

// A metav1.Status as JSON, at most a few KiB.
std::string ExitReport(int code);
std::string FailureReport(const Status& status);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_REPORTS_H_
