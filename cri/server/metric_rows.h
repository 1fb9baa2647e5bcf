// metric_rows.h: the metrics of one pod.
#ifndef USETL_CRI_SERVER_METRIC_ROWS_H_
#define USETL_CRI_SERVER_METRIC_ROWS_H_

#include <memory>
#include <vector>

#include "cri/server/node.h"
#include "cri/server/pod_reading.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

std::vector<v1::MetricDescriptor> MetricDescriptors();

// Of the pod itself and of its containers that run. Labels are in the order of the descriptor.
v1::PodSandboxMetrics MetricsOf(Node* node, const SandboxRecord& record, const PodReading& reading);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_METRIC_ROWS_H_
