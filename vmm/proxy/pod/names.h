// names.h: how a container's requests find servers: by the files that programs in it would read.
#ifndef USETL_VMM_PROXY_POD_NAMES_H_
#define USETL_VMM_PROXY_POD_NAMES_H_

#include "vmm/base/status.h"
#include "vmm/proxy/etl/name_config.h"
#include "vmm/proxy/pod/start_request.h"

namespace usetl::pod {

// What /etc/resolv.conf (of the pod's DNS config) and /etc/hosts (a mount of kubelet's) among the
// files of `request` say; empty without them. Of each the first 64 kB count.
Result<etl::NameConfig> ReadNames(const StartRequest& request);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_NAMES_H_
