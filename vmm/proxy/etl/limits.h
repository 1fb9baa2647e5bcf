// limits.h: what one function may ask of its proxy, and what the proxy counts.
#ifndef USETL_VMM_PROXY_ETL_LIMITS_H_
#define USETL_VMM_PROXY_ETL_LIMITS_H_

#include <cstdint>
#include <string>

namespace usetl::etl {

struct Limits {
  uint32_t total_timeout_ms = 300'000;   // of a transaction with all its redirects
  uint32_t connect_timeout_ms = 10'000;  // name, TCP and TLS together
  uint32_t resolve_timeout_ms = 5'000;
  uint32_t idle_timeout_ms = 60'000;      // nothing moves although both sides could
  uint64_t max_body = uint64_t{4} << 30;  // of a response
  uint64_t max_request_body = uint64_t{4} << 30;
  uint32_t max_active = 64;          // transfers at once; more wait for their turn
  uint32_t max_open = 1024;          // transactions at once; more are refused
  uint64_t stream_window = 8 << 20;  // of one streamed response
};

// How peers are verified. Empty: the system's bundle.
struct TlsOptions {
  std::string ca_bundle;
  std::string extra_ca;  // trusted besides the bundle
};

// Since the proxy was made. Bytes are those of bodies.
struct Counters {
  uint64_t requests = 0;
  uint64_t bytes_in = 0;   // from peers to the function
  uint64_t bytes_out = 0;  // from the function to peers
  uint64_t denied = 0;
  uint64_t errors = 0;  // transactions that ended with any other error
  uint64_t cancelled = 0;
  uint64_t redirects = 0;  // hops followed
  uint64_t connections = 0;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_LIMITS_H_
