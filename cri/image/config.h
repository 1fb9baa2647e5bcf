// config.h: what the owner of an image store may set.
#ifndef USETL_CRI_IMAGE_CONFIG_H_
#define USETL_CRI_IMAGE_CONFIG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::image {

struct StoreConfig {
  // Registries by the domain of names ("docker.io") -> base URLs that are asked before, in this
  // order: "https://mirror:5000". They never get the credentials of the registry.
  std::map<std::string, std::vector<std::string>> mirrors;
  // Hosts ("registry.lan:5000") that are spoken to without TLS. Loopback always is.
  std::set<std::string> insecure;
  std::string ca_file;  // PEM; empty: the system's
  // Images that the node's garbage collection must leave alone, by name.
  std::set<std::string> pinned;

  int parallel_downloads = 4;  // of one pull
  int parallel_unpacks = 2;    // of the whole store
  int retries = 5;             // of a request, one after the other without any new byte
  int retry_pause_ms = 300;    // doubles up to 5 s
  // Told why a request that has failed for a second is tried again, and when. From any thread.
  std::function<void(const std::string&)> on_retry;
  int connect_seconds = 15;
  int stall_seconds = 30;    // a transfer below 1 kB/s for so long has failed
  int request_seconds = 60;  // for whatever is not a blob

  uint64_t max_image_bytes = uint64_t{32} << 30;     // compressed, all layers
  uint64_t max_unpacked_bytes = uint64_t{16} << 30;  // of one layer
  uint64_t max_layer_entries = 1'000'000;
};

// "DOMAIN=URL", as command lines have it, to config->mirrors. EINVAL, without what may be secret:
// no registry's domain; not the URL of a server, or one with a user, a password or a query.
Status AddMirror(std::string_view text, StoreConfig* config);
// EINVAL: a host that is none. Of the operating system: the certificates cannot be read.
Status CheckConfig(const StoreConfig& config);

// Credentials of CRI's AuthConfig. At most one kind is used: registry_token, identity_token, then
// name and password.
struct Auth {
  std::string username, password;
  std::string encoded;         // base64 of "username:password", when username is empty
  std::string identity_token;  // exchanged for a token of the repository
  std::string registry_token;  // sent as it is
};

// Where a pull or import stands. Called from several threads, one at a time.
struct Progress {
  size_t layers = 0, layers_done = 0;  // done: packed
  uint64_t bytes = 0, bytes_done = 0;  // compressed; what was there already counts as done
  uint64_t bytes_fetched = 0;          // of layers, from the registry; again what came twice
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_CONFIG_H_
