// Configurations of networks and answers of plugins: nothing throws, what is accepted keeps its
// bounds.
#include "cri/network/cni_config.h"
#include "cri/network/cni_result.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl::cri;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = ParseCniConfig(text);
  if (config.ok()) {
    if (config->plugins.empty() || config->version.empty()) __builtin_trap();
    for (const CniPlugin& plugin : config->plugins) {
      if (plugin.type.find('/') != std::string::npos || plugin.type[0] == '.') __builtin_trap();
      if (plugin.config.contains("capabilities")) __builtin_trap();
    }
    // What is stored with a pod can be read again.
    if (!ParseCniConfig(config->text).ok()) __builtin_trap();
  } else if (config.status().code() != EBADMSG) {
    __builtin_trap();
  }
  const auto result = ParseCniResult(text);
  if (result.ok()) {
    const auto addresses = AddressesOf(*result);
    if (addresses.ok() && addresses->size() > 64) __builtin_trap();
  }
  if (DescribeCniError(text, text, "").find('\n') != std::string::npos) __builtin_trap();
  return 0;
}
