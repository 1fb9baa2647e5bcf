#include "cri/metrics/families.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

namespace usetl::cri {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct Sample {
  const char* value_of_label;
  uint64_t value;
};

ClientMetric Number(MetricType type, uint64_t value) {
  ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
      static_cast<double>(value);
  return metric;
}

void Add(MetricType type, const char* name, const char* help, uint64_t value, Families* to) {
  to->push_back({name, help, type, {Number(type, value)}});
}

// One sample for each value of one label.
void Add(MetricType type, const char* name, const char* help, const char* label,
         std::span<const Sample> samples, Families* to) {
  MetricFamily family{name, help, type, {}};
  for (const Sample& sample : samples) {
    family.metric.push_back(Number(type, sample.value));
    family.metric.back().label = {{label, sample.value_of_label}};
  }
  to->push_back(std::move(family));
}

// `counts` has one more than `bounds`; both and `sum` are in units of 1/`per_second` seconds.
void AddTimes(const char* name, const char* help, std::span<const uint64_t> bounds,
              std::span<const uint64_t> counts, uint64_t sum, double per_second, Families* to) {
  ClientMetric metric;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    const double bound = i < bounds.size() ? static_cast<double>(bounds[i]) / per_second
                                           : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(sum) / per_second;
  to->push_back({name, help, MetricType::Histogram, {std::move(metric)}});
}

}  // namespace

void AddPool(const Result<PoolState>& pool, Families* to) {
  Add(MetricType::Gauge, "usetl_vmmd_up", "Whether usetl-vmmd answered", pool.ok(), to);
  if (!pool.ok()) return;
  constexpr MetricType kCounter = MetricType::Counter;
  Add(MetricType::Gauge, "usetl_pool_wanted_usfs", "Idle USFs that are kept ready", pool->wanted,
      to);
  const Sample states[] = {{"starting", pool->starting},
                           {"idle", pool->idle},
                           {"claimed", pool->claimed},
                           {"rolling", pool->rolling},
                           {"cloning", pool->cloning}};
  Add(MetricType::Gauge, "usetl_pool_usfs", "USFs by what they do", "state", states, to);
  const Sample claims[] = {
      {"hit", pool->claims_hit}, {"waited", pool->claims_waited}, {"failed", pool->claims_failed}};
  Add(kCounter, "usetl_pool_claims_total",
      "Claims of USFs: one was ready, it had to be waited for, none came", "result", claims, to);
  Add(kCounter, "usetl_pool_usfs_made_total", "USFs started", pool->made, to);
  Add(kCounter, "usetl_pool_usfs_retired_total", "USFs ended, whatever the cause", pool->retired,
      to);
  Add(kCounter, "usetl_pool_usfs_lost_total", "USFs whose process died", pool->lost, to);
  Add(kCounter, "usetl_pool_usfs_stuck_total", "USFs that did not start or roll back in time",
      pool->stuck, to);
  AddTimes("usetl_rollback_duration_seconds", "How long USFs took to roll back",
           pool->rollbacks.bounds_ns, pool->rollbacks.counts, pool->rollbacks.sum_ns, 1e9, to);
}

void AddWorkers(const pod::Counts& counts, Families* to) {
  constexpr MetricType kCounter = MetricType::Counter;
  using gateway::Counters;
  const std::span all(counts);
  Add(kCounter, "usetl_http_requests_started_total", "Requests to containers' ports",
      counts[pod::kRequests], to);
  const Sample classes[] = {{"1xx", counts[pod::kAnswers + 1]}, {"2xx", counts[pod::kAnswers + 2]},
                            {"3xx", counts[pod::kAnswers + 3]}, {"4xx", counts[pod::kAnswers + 4]},
                            {"5xx", counts[pod::kAnswers + 5]}, {"broken", counts[pod::kAnswers]}};
  Add(kCounter, "usetl_http_requests_total",
      "Answered requests by class of status; broken: the answer was cut off", "class", classes, to);
  AddTimes("usetl_http_request_duration_seconds",
           "From the complete request to the end of its answer", Counters::kBounds,
           all.subspan(pod::kRequestTimes, Counters::kBounds.size() + 1),
           counts[pod::kRequestMicroseconds], 1e6, to);
  const struct {
    const char *name, *help;
    pod::Count count;
  } plain[] = {
      {"usetl_http_requests_cancelled_total", "Requests whose client left before their answer",
       pod::kRequestsCancelled},
      {"usetl_http_requests_malformed_total", "Requests refused before any function saw them",
       pod::kRequestsMalformed},
      {"usetl_http_connections_total", "Connections accepted", pod::kConnections},
      {"usetl_http_connections_refused_total", "Connections beyond the limit",
       pod::kConnectionsRefused},
      {"usetl_http_received_bytes_total", "Bytes from clients", pod::kBytesReceived},
      {"usetl_http_sent_bytes_total", "Bytes to clients", pod::kBytesSent},
      {"usetl_etl_requests_total", "Requests of functions to servers and objects",
       pod::kEtlRequests},
      {"usetl_etl_denied_total", "Of those, denied by the policy", pod::kEtlDenied},
      {"usetl_etl_errors_total", "Of those, failed otherwise", pod::kEtlErrors},
      {"usetl_etl_received_bytes_total", "Bytes of bodies to functions", pod::kEtlBytesReceived},
      {"usetl_etl_sent_bytes_total", "Bytes of bodies from functions", pod::kEtlBytesSent},
      {"usetl_log_lines_lost_total", "Lines of logs lost: disk full or too slow", pod::kLinesLost},
  };
  for (const auto& one : plain) Add(kCounter, one.name, one.help, counts[one.count], to);
}

void AddStore(const Store& store, Families* to) {
  const auto count = [](const auto& records, int state) {
    return static_cast<uint64_t>(std::ranges::count_if(
        records, [&](const auto& record) { return record->state() == state; }));
  };
  const auto pods = store.Sandboxes();
  const Sample ready[] = {{"ready", count(pods, runtime::v1::SANDBOX_READY)},
                          {"notready", count(pods, runtime::v1::SANDBOX_NOTREADY)}};
  Add(MetricType::Gauge, "usetl_pods", "Pods that usetld knows", "state", ready, to);
  const auto containers = store.Containers();
  const Sample states[] = {{"created", count(containers, runtime::v1::CONTAINER_CREATED)},
                           {"running", count(containers, runtime::v1::CONTAINER_RUNNING)},
                           {"exited", count(containers, runtime::v1::CONTAINER_EXITED)}};
  Add(MetricType::Gauge, "usetl_containers", "Containers that usetld knows", "state", states, to);
}

}  // namespace usetl::cri
