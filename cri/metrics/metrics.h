// metrics.h: what usetld counts. README.md has the table of what is shown of it.
#ifndef USETL_CRI_METRICS_METRICS_H_
#define USETL_CRI_METRICS_METRICS_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "cri/metrics/worker_counts.h"

namespace prometheus {
class Registry;
}

namespace usetl::cri {

// Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // `code`: of gRPC.
  void CountCall(std::string_view method, int code, double seconds);
  // `reason`: one of a fixed set of words.
  void CountRefusal(std::string_view reason);
  void CountPull(bool complete, uint64_t bytes);

  WorkerCounts workers;

  const std::shared_ptr<prometheus::Registry>& registry() const;

 private:
  struct Rep;
  const std::unique_ptr<Rep> rep_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_METRICS_H_
