// collect_output.h: runs a program to its end and keeps what it writes.
#ifndef USETL_CRI_STREAMING_COLLECT_OUTPUT_H_
#define USETL_CRI_STREAMING_COLLECT_OUTPUT_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "cri/streaming/process.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

// Of both outputs together; the rest is read and thrown away. One message of gRPC has to hold it.
inline constexpr size_t kMaxCollected = (16 << 20) - (64 << 10);

struct Output {
  std::string out, err;
  int exit_code = 0;
};

// Until the program has ended and closed its outputs. ETIMEDOUT after `limit`, ECANCELED when
// `given_up` says so, which is asked now and then: the caller then destroys `process`.
Result<Output> CollectOutput(Process* process, std::optional<std::chrono::milliseconds> limit,
                             const std::function<bool()>& given_up);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_COLLECT_OUTPUT_H_
