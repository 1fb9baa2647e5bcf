// policy.h: which requests of a function may leave the host.
//
// Deny by default. A URL is parsed once, with libcurl's parser, and the parsed form is what is
// requested. The decisive check is that of the address which is about to be connected to.
#ifndef USETL_VMM_PROXY_ETL_POLICY_H_
#define USETL_VMM_PROXY_ETL_POLICY_H_

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

struct Origin {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case, no trailing dot; IPv6 without brackets
  uint16_t port = 0;
  bool operator==(const Origin&) const = default;
};

// Splits and checks a URL: http or https, no user, no control characters, at most 8 kB, no odd
// spellings of IPv4. `canonical` is what may be given to libcurl.
Status ParseUrl(std::string_view url, Origin* origin, std::string* canonical);

// True: the address belongs to a range that functions must not reach unless it was opened: loopback,
// link-local, private, shared, documentation, multicast, and IPv6 that embeds IPv4.
bool IsInternalAddress(const sockaddr* address);
// True: cloud metadata services; opened only by naming the address itself.
bool IsMetadataAddress(const sockaddr* address);

class Policy {
 public:
  // "http://host[:port]", "https://*.example.com", or "*" for every public origin.
  Status Allow(std::string_view origin);

  // OK, or EPERM with the full cause (for the audit log, not for the guest).
  Status CheckOrigin(const Origin& origin) const;
  Status CheckAddress(const Origin& origin, const sockaddr* address) const;

 private:
  struct Rule {
    Origin origin;
    bool subdomains = false;
  };
  bool Matches(const Rule& rule, const Origin& origin) const;

  std::vector<Rule> rules_;
  bool any_public_ = false;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_ETL_POLICY_H_
