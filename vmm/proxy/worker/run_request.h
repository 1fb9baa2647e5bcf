// run_request.h: what a client asks a worker to run, checked, and the records made of it.
#ifndef USETL_VMM_PROXY_WORKER_RUN_REQUEST_H_
#define USETL_VMM_PROXY_WORKER_RUN_REQUEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/installation.h"
#include "vmm/base/status.h"

namespace usetl {

// As run_protocol.h describes it; defaults are those of a request that leaves the member out.
struct RunRequest {
  std::string runtime = kDefaultRuntime;
  std::string tenant = "default";
  std::string file = "function.py";  // one component of a path
  std::string mode = "auto";
  std::optional<std::string> handler;
  std::vector<std::string> arguments;
  std::map<std::string, std::optional<std::string>> environment;  // nullopt removes a variable
  std::vector<std::string> allow;                                 // origins
  std::string event = "null";                                     // JSON
  bool has_stdin = false;
  bool timings = false;
  uint64_t memory = 0;  // bytes; 0: the node's default
  uint32_t timeout_ms = 60'000;
};

// EINVAL says which member is wrong.
Result<RunRequest> ParseRunRequest(std::string_view text);

// What the function can know about the run.
struct RunContext {
  std::string request_id;
  double deadline = 0;     // seconds of CLOCK_MONOTONIC, which is the guest's too
  uint64_t memory_mb = 0;  // that it may use
};

// Payloads of kLoad and kInvoke. `stdin_path` and `event_path` may be empty: no standard input, and
// the event itself in the record.
std::string LoadRecord(const RunRequest& request, const std::string& path,
                       const std::string& stdin_path);
std::string InvokeRecord(const RunRequest& request, const std::string& event_path,
                         const RunContext& context);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_RUN_REQUEST_H_
