// cni_result.h: what plugins answer.
#ifndef USETL_CRI_NETWORK_CNI_RESULT_H_
#define USETL_CRI_NETWORK_CNI_RESULT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

// The interface of a pod that its addresses belong to.
inline constexpr char kPodInterface[] = "eth0";

// The object that an ADD answered; the next plugin gets it unchanged. EBADMSG.
Result<nlohmann::json> ParseCniResult(std::string_view text);

// The addresses of the pod's eth0, without prefix lengths: IPv4 first, otherwise in the result's
// order. EBADMSG for a result that breaks the rules; none at all is no error here.
Result<std::vector<std::string>> AddressesOf(const nlohmann::json& result);

// One line: the message and details of an error that a plugin answered, or how it ended and the
// last of what it wrote to stderr.
std::string DescribeCniError(std::string_view answer, std::string_view stderr_tail,
                             std::string_view ended);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_CNI_RESULT_H_
