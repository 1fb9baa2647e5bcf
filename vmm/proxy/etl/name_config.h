// name_config.h: how names are looked up, as a pod's files have it.
#ifndef USETL_VMM_PROXY_ETL_NAME_CONFIG_H_
#define USETL_VMM_PROXY_ETL_NAME_CONFIG_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace usetl::etl {

struct NameConfig {
  std::vector<std::string> servers;   // IPv4 or IPv6 addresses
  bool names_servers = false;         // whether the file has any, usable or not; else the machine's
  std::vector<std::string> searches;  // domains
  int ndots = 1;
  int timeout_ms = 5000;  // of one question
  int attempts = 2;
  bool rotate = false;
  // Addresses by name, in lower case.
  std::map<std::string, std::vector<std::string>, std::less<>> hosts;

  bool empty() const { return !names_servers && hosts.empty(); }
};

// Takes what these files say, resolv.conf(5) and hosts(5), within the limits that the C library
// has. What is malformed or unknown is passed over, as there.
void ReadResolverConfig(std::string_view text, NameConfig* config);
void ReadHosts(std::string_view text, NameConfig* config);

// In numbers, without brackets.
bool IsAddress(const std::string& text);

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_NAME_CONFIG_H_
