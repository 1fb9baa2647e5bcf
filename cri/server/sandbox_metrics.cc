#include "cri/server/metric_rows.h"
#include "cri/server/runtime_service.h"

namespace usetl::cri {
namespace {

std::vector<v1::PodSandboxMetrics> AllMetrics(Node* node) {
  std::vector<std::shared_ptr<const SandboxRecord>> pods;
  for (const auto& record : node->store->Sandboxes()) {
    if (record->state() == v1::SANDBOX_READY) pods.push_back(record);
  }
  const std::vector<PodReading> readings = ReadPods(pods);
  std::vector<v1::PodSandboxMetrics> all;
  for (size_t i = 0; i < pods.size(); ++i) all.push_back(MetricsOf(node, *pods[i], readings[i]));
  return all;
}

}  // namespace

grpc::Status RuntimeService::ListMetricDescriptors(grpc::ServerContext*,
                                                   const v1::ListMetricDescriptorsRequest*,
                                                   v1::ListMetricDescriptorsResponse* response) {
  for (auto& descriptor : MetricDescriptors()) *response->add_descriptors() = std::move(descriptor);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::ListPodSandboxMetrics(grpc::ServerContext*,
                                                   const v1::ListPodSandboxMetricsRequest*,
                                                   v1::ListPodSandboxMetricsResponse* response) {
  for (auto& metrics : AllMetrics(&node_)) *response->add_pod_metrics() = std::move(metrics);
  return grpc::Status::OK;
}

grpc::Status RuntimeService::StreamPodSandboxMetrics(
    grpc::ServerContext*, const v1::StreamPodSandboxMetricsRequest*,
    grpc::ServerWriter<v1::StreamPodSandboxMetricsResponse>* writer) {
  for (auto& metrics : AllMetrics(&node_)) {
    v1::StreamPodSandboxMetricsResponse response;
    *response.add_pod_sandbox_metrics() = std::move(metrics);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
