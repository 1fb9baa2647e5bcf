// The files that say how a pod's names are looked up: a mount may hold anything.
#include <cstdlib>
#include <string_view>

#include "vmm/proxy/etl/name_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  usetl::etl::NameConfig config;
  usetl::etl::ReadResolverConfig(text, &config);
  usetl::etl::ReadHosts(text, &config);
  if (config.servers.size() > 3 || config.timeout_ms < 1000 || config.attempts < 1) std::abort();
  for (const std::string& server : config.servers) {
    if (!usetl::etl::IsAddress(server)) std::abort();
  }
  for (const auto& [name, addresses] : config.hosts) {
    if (name.empty() || addresses.empty()) std::abort();
  }
  return 0;
}
