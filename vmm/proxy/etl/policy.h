// policy.h: which requests of a function may leave the host.
//
// Deny by default. A URL is parsed once and the parsed form is what libcurl connects to. The
// decisive check is that of the address which is about to be connected to.
#ifndef USETL_VMM_PROXY_ETL_POLICY_H_
#define USETL_VMM_PROXY_ETL_POLICY_H_

#include <sys/socket.h>

#include <string_view>
#include <vector>

#include "vmm/base/status.h"
#include "vmm/proxy/etl/url.h"

namespace usetl::etl {

class Policy {
 public:
  // "http://host[:port]", "https://host[:port]", "https://*.example.com" (names below it), or "*"
  // for every public origin. EINVAL: none of these.
  Status Allow(std::string_view origin);

  // Every origin that the network leads to, for functions whose network is limited elsewhere (a
  // pod's, by its NetworkPolicy); not link-local, metadata and the like.
  void AllowNetwork() { network_ = true; }

  // May the function ask this origin at all? EPERM with the full cause, which is for the audit log
  // and not for the guest.
  Status CheckOrigin(const Origin& origin) const;
  // May a connection for this origin go to this address? REQUIRES: CheckOrigin() agreed.
  Status CheckAddress(const Origin& origin, const sockaddr* address) const;

 private:
  struct Rule {
    Origin origin;
    bool subdomains = false;
  };
  static bool Matches(const Rule& rule, const Origin& origin);

  std::vector<Rule> rules_;
  bool any_public_ = false;
  bool network_ = false;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_POLICY_H_
