// endpoint.h: serves the node's metrics to Prometheus.
#ifndef USETL_CRI_METRICS_ENDPOINT_H_
#define USETL_CRI_METRICS_ENDPOINT_H_

#include <memory>
#include <string>

#include "cri/server/node.h"
#include "vmm/base/status.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace usetl::cri {

class MetricsEndpoint {
 public:
  // Serves http://ADDRESS/metrics (ParseNumericAddress) with two threads, to whoever can connect,
  // until it goes. `node` outlives this.
  static Result<std::unique_ptr<MetricsEndpoint>> Start(const std::string& address, Node* node);
  ~MetricsEndpoint();

 private:
  MetricsEndpoint() = default;
  std::shared_ptr<prometheus::Collectable> families_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_ENDPOINT_H_
