// run_protocol.h: what a client (usetl run) and a worker say to each other.
#ifndef USETL_VMM_PROXY_WORKER_RUN_PROTOCOL_H_
#define USETL_VMM_PROXY_WORKER_RUN_PROTOCOL_H_

#include <cstdint>

namespace usetl::run {

// Client to worker, once: JSON text. Descriptors: the function's file, then standard input when
// "stdin" is true.
//   {"runtime": NAME, "tenant": NAME, "file": NAME, "mode": "handler"|"script"|"auto",
//    "handler": NAME|null, "event": ANY, "argv": [...], "env": {...}, "allow": [...], "stdin":
//    BOOL, "memory": BYTES, "timeout_ms": N, "timings": BOOL}
// In place of "event", "event_text" has its JSON as text, which then reaches the function as it was
// written: members in their order, integers of any size.

inline constexpr uint64_t kMaxResult = 32 << 20;  // bytes of the value of a result

enum class Type : uint32_t {
  kOutput = 1,   // bytes; `detail` is 1 (stdout) or 2 (stderr)
  kResult = 2,   // JSON as the agent has it (guest/python/README.md), in pieces; `detail` is 1 for
                 // the last, after which nothing comes
  kFailed = 3,   // text: the function could not be started or was lost; `detail` is an exit status
  kTimings = 4,  // before the result, if asked for. JSON: microseconds of each step, counters of
                 // the proxy
  kLog = 5,      // a trace line
};

struct Header {
  Type type;
  uint32_t detail;
};

}  // namespace usetl::run

#endif  // USETL_VMM_PROXY_WORKER_RUN_PROTOCOL_H_
