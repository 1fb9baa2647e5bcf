#include "cri/metrics/endpoint.h"

#include <arpa/inet.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <charconv>
#include <exception>
#include <vector>

#include "cri/metrics/families.h"

namespace usetl::cri {
namespace {

// What is asked for at every scrape.
class NodeFamilies final : public prometheus::Collectable {
 public:
  explicit NodeFamilies(Node* node) : node_(*node) {}
  Families Collect() const override {
    Families families;
    prometheus::ClientMetric build;
    build.label = {{"version", USETL_VERSION}};
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

Status CheckMetricsAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  const Status bad(EINVAL, "--metrics: \"" + address + "\" is no address and port");
  if (colon == address.npos) return bad;
  std::string host = address.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  in6_addr parsed;
  if (inet_pton(bracketed ? AF_INET6 : AF_INET, host.c_str(), &parsed) != 1) return bad;
  uint16_t port = 0;
  const char* end = address.data() + address.size();
  const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, port);
  return error == std::errc() && rest == end && port != 0 ? Status() : bad;
}

MetricsEndpoint::~MetricsEndpoint() = default;

Result<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const std::string& address,
                                                                Node* node) {
  USETL_RETURN_IF_ERROR(CheckMetricsAddress(address));
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
