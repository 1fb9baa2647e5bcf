// numeric_address.h: where a daemon listens, as its command line says it.
#ifndef USETL_VMM_BASE_NUMERIC_ADDRESS_H_
#define USETL_VMM_BASE_NUMERIC_ADDRESS_H_

#include <sys/socket.h>

#include <string_view>

#include "vmm/base/status.h"

namespace usetl {

struct NumericAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// "127.0.0.1:9470" or "[::1]:9470": a numeric address and a port other than 0, or EINVAL. `option`
// is named in the error.
Result<NumericAddress> ParseNumericAddress(std::string_view option, std::string_view text);

}  // namespace usetl

#endif  // USETL_VMM_BASE_NUMERIC_ADDRESS_H_
