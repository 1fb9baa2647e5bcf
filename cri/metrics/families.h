// families.h: numbers that others keep, in Prometheus' form.
#ifndef USETL_CRI_METRICS_FAMILIES_H_
#define USETL_CRI_METRICS_FAMILIES_H_

#include <prometheus/metric_family.h>

#include <vector>

#include "cri/metrics/pool_state.h"
#include "cri/store/store.h"
#include "vmm/proxy/pod/counts.h"

namespace usetl::cri {

using Families = std::vector<prometheus::MetricFamily>;

// Each adds its families to `to`.
void AddPool(const Result<PoolState>& pool, Families* to);
void AddWorkers(const pod::Counts& counts, Families* to);
void AddStore(const Store& store, Families* to);

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_FAMILIES_H_
