// sysctls.h: settings of a pod's network namespace.
#ifndef USETL_CRI_NETWORK_SYSCTLS_H_
#define USETL_CRI_NETWORK_SYSCTLS_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// The file below /proc/sys of a setting that belongs to the network, named as sysctl(8) takes it
// ("net.core.somaxconn"; "net/ipv4/conf/eth0.5/forwarding"). None: another's, or no name.
std::optional<std::string> NetworkSysctlFile(std::string_view name);

// Writes them within the namespace, in the order of their names, up to the first that fails. The
// kernel shows no others there than those that each namespace has for itself, or read-only.
// EINVAL: there is none of that name, or it does not take the value.
Status SetSysctls(const Fd& network_namespace, const std::map<std::string, std::string>& sysctls);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_SYSCTLS_H_
