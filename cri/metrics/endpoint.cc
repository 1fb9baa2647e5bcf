#include "cri/metrics/endpoint.h"

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <exception>
#include <vector>

#include "cri/metrics/families.h"
#include "vmm/base/numeric_address.h"
#include "vmm/base/version.h"

namespace usetl::cri {
namespace {

// What is asked for at every scrape.
class NodeFamilies final : public prometheus::Collectable {
 public:
  explicit NodeFamilies(Node* node) : node_(*node) {}
  Families Collect() const override {
    Families families;
    prometheus::ClientMetric build;
    build.label = {{"version", Version()}};
    build.gauge.value = 1;
    families.push_back({"usetl_build_info",
                        "The version of usetld",
                        prometheus::MetricType::Gauge,
                        {std::move(build)}});
    AddStore(*node_.store, &families);
    AddPool(ReadPoolState(node_.options.vmmd), &families);
    AddWorkers(node_.metrics.workers.Sum(), &families);
    return families;
  }

 private:
  Node& node_;
};

}  // namespace

MetricsEndpoint::~MetricsEndpoint() = default;

Result<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const std::string& address,
                                                                Node* node) {
  USETL_RETURN_IF_ERROR(ParseNumericAddress("--metrics", address).status());
  std::unique_ptr<MetricsEndpoint> endpoint(new MetricsEndpoint);
  endpoint->families_ = std::make_shared<NodeFamilies>(node);
  // Clients that send nothing must not hold both threads for long.
  const std::vector<std::string> options = {
      "listening_ports",    address, "num_threads",       "2",
      "request_timeout_ms", "2000",  "enable_keep_alive", "no"};
  try {
    endpoint->exposer_ = std::make_unique<prometheus::Exposer>(options);
    endpoint->exposer_->RegisterCollectable(node->metrics.registry());
    endpoint->exposer_->RegisterCollectable(endpoint->families_);
  } catch (const std::exception& error) {
    return Status(EADDRNOTAVAIL, "cannot serve metrics at " + address + ": " + error.what());
  }
  return endpoint;
}

}  // namespace usetl::cri
