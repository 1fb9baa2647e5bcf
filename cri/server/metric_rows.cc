#include "cri/server/metric_rows.h"

#include <initializer_list>
#include <string>

#include "cri/container/usage.h"
#include "cri/server/metric_table.h"

namespace usetl::cri {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
using MetricList = google::protobuf::RepeatedPtrField<v1::Metric>;

// Adds rows to one list, all with the same base labels.
class Rows {
 public:
  // `labels`: values of kBaseLabels. `now`: ns since 1970.
  Rows(std::array<std::string, kBaseLabels.size()> labels, int64_t now, MetricList* list)
      : labels_(std::move(labels)), now_(now), list_(*list) {}

  // REQUIRES: as many values as the metric has labels of its own.
  void Add(size_t metric, uint64_t value, std::initializer_list<const char*> values = {}) {
    v1::Metric& row = *list_.Add();
    row.set_name(kMetrics[metric].name);
    row.set_timestamp(now_);
    row.set_metric_type(kMetrics[metric].type);
    for (const std::string& label : labels_) row.add_label_values(label);
    for (const char* label : values) row.add_label_values(label);
    row.mutable_value()->set_value(value);
  }
  void Add(size_t metric, const std::optional<uint64_t>& value) {
    if (value) Add(metric, *value);
  }

 private:
  const std::array<std::string, kBaseLabels.size()> labels_;
  const int64_t now_;
  MetricList& list_;
};

void AddUsage(const Usage& usage, Rows* rows) {
  rows->Add(FindMetric("container_cpu_usage_seconds_total"), usage.cpu_ns / kSecond, {"total"});
  rows->Add(FindMetric("container_memory_usage_bytes"), usage.resident_bytes);
  rows->Add(FindMetric("container_memory_working_set_bytes"), usage.private_bytes);
  rows->Add(FindMetric("container_memory_rss"), usage.private_bytes);
  // The kernel's own way to divide time that it knows exactly by ticks that it counts.
  const uint64_t ticks = usage.user_ticks + usage.system_ticks;
  const double system = ticks == 0 ? 0 : static_cast<double>(usage.system_ticks) / ticks;
  const auto system_ns = static_cast<uint64_t>(static_cast<double>(usage.cpu_ns) * system);
  rows->Add(FindMetric("container_cpu_system_seconds_total"), system_ns / kSecond);
  rows->Add(FindMetric("container_cpu_user_seconds_total"),
            (usage.cpu_ns - std::min(usage.cpu_ns, system_ns)) / kSecond);
}

void AddInterfaces(const Interfaces& interfaces, Rows* rows) {
  for (const Interface& one : interfaces) {
    const char* name = one.name.c_str();
    rows->Add(FindMetric("container_network_receive_bytes_total"), one.rx_bytes, {name});
    rows->Add(FindMetric("container_network_receive_packets_total"), one.rx_packets, {name});
    rows->Add(FindMetric("container_network_receive_errors_total"), one.rx_errors, {name});
    rows->Add(FindMetric("container_network_receive_packets_dropped_total"), one.rx_dropped,
              {name});
    rows->Add(FindMetric("container_network_transmit_bytes_total"), one.tx_bytes, {name});
    rows->Add(FindMetric("container_network_transmit_packets_total"), one.tx_packets, {name});
    rows->Add(FindMetric("container_network_transmit_errors_total"), one.tx_errors, {name});
    rows->Add(FindMetric("container_network_transmit_packets_dropped_total"), one.tx_dropped,
              {name});
  }
}

void AddPressure(size_t waiting, size_t stalled, const std::optional<Pressure>& pressure,
                 Rows* rows) {
  if (!pressure) return;
  rows->Add(waiting, pressure->some.total_us / 1'000'000);
  rows->Add(stalled, pressure->full.total_us / 1'000'000);
}

void AddThrottling(const CgroupEvents& events, Rows* rows) {
  rows->Add(FindMetric("container_cpu_cfs_periods_total"), events.periods);
  rows->Add(FindMetric("container_cpu_cfs_throttled_periods_total"), events.throttled_periods);
  if (events.throttled_ns) {
    rows->Add(FindMetric("container_cpu_cfs_throttled_seconds_total"),
              *events.throttled_ns / kSecond);
  }
}

void AddEvents(const CgroupEvents& events, Rows* rows) {
  AddThrottling(events, rows);
  rows->Add(FindMetric("container_memory_failcnt"), events.memory_failures);
  AddPressure(FindMetric("container_pressure_cpu_waiting_seconds_total"),
              FindMetric("container_pressure_cpu_stalled_seconds_total"), events.cpu, rows);
  AddPressure(FindMetric("container_pressure_memory_waiting_seconds_total"),
              FindMetric("container_pressure_memory_stalled_seconds_total"), events.memory, rows);
  AddPressure(FindMetric("container_pressure_io_waiting_seconds_total"),
              FindMetric("container_pressure_io_stalled_seconds_total"), events.io, rows);
}

void AddSpec(const v1::LinuxContainerResources& resources, Rows* rows) {
  const auto number = [](int64_t value) {
    return static_cast<uint64_t>(std::max<int64_t>(value, 0));
  };
  rows->Add(FindMetric("container_spec_cpu_period"), number(resources.cpu_period()));
  if (resources.cpu_quota() > 0) {
    rows->Add(FindMetric("container_spec_cpu_quota"), number(resources.cpu_quota()));
  }
  rows->Add(FindMetric("container_spec_cpu_shares"), number(resources.cpu_shares()));
  rows->Add(FindMetric("container_spec_memory_limit_bytes"),
            number(resources.memory_limit_in_bytes()));
  rows->Add(FindMetric("container_spec_memory_reservation_limit_bytes"), 0);
  rows->Add(FindMetric("container_spec_memory_swap_limit_bytes"),
            number(resources.memory_swap_limit_in_bytes()));
}

// What is so for every function.
void AddConstants(Rows* rows) {
  // A container has no limit of memory at the host: the pod has it.
  for (const size_t metric : {FindMetric("container_memory_failcnt"),
                              // One that has run out of memory runs no more.
                              FindMetric("container_oom_events_total")}) {
    rows->Add(metric, 0);
  }
  for (const size_t metric :
       {FindMetric("container_fs_inodes_free"), FindMetric("container_fs_inodes_total"),
        FindMetric("container_fs_limit_bytes"), FindMetric("container_fs_reads_bytes_total"),
        FindMetric("container_fs_reads_total"), FindMetric("container_fs_usage_bytes"),
        FindMetric("container_fs_writes_bytes_total"), FindMetric("container_fs_writes_total")}) {
    rows->Add(metric, 0, {""});  // no device
  }
  for (const size_t metric : {FindMetric("container_processes"), FindMetric("container_threads"),
                              FindMetric("container_threads_max")}) {
    rows->Add(metric, 1);
  }
}

// Of one that has no limits of its own: never.
CgroupEvents ThrottlingOf(const std::string& container, const PodReading& reading) {
  CgroupEvents events;
  if (reading.cgroup) events = reading.cgroup->ReadEventsOf(container);
  if (!events.periods) events.periods = events.throttled_periods = events.throttled_ns = 0;
  return events;
}

void AddContainer(const ContainerRecord& record, const Usage& usage, int64_t now, Rows* rows) {
  AddUsage(usage, rows);
  const UsageDetails details = ReadDetails(record);
  const uint64_t shared =
      usage.resident_bytes - std::min(usage.resident_bytes, usage.private_bytes);
  rows->Add(FindMetric("container_memory_cache"), shared);
  rows->Add(FindMetric("container_memory_mapped_file"), shared);
  rows->Add(FindMetric("container_memory_max_usage_bytes"), details.peak_bytes);
  rows->Add(FindMetric("container_memory_swap"), details.swap_bytes);
  rows->Add(FindMetric("container_memory_kernel_usage"), details.page_table_bytes);
  constexpr size_t kFailures = FindMetric("container_memory_failures_total");
  for (const char* scope : {"container", "hierarchy"}) {
    rows->Add(kFailures, usage.page_faults, {"pgfault", scope});
    rows->Add(kFailures, usage.major_page_faults, {"pgmajfault", scope});
  }
  rows->Add(FindMetric("container_file_descriptors"), details.descriptors);
  rows->Add(FindMetric("container_sockets"), details.sockets);
  rows->Add(FindMetric("container_last_seen"), static_cast<uint64_t>(now) / kSecond);
  rows->Add(FindMetric("container_start_time_seconds"),
            static_cast<uint64_t>(record.started_at()) / kSecond);
  AddSpec(record.resources(), rows);
  AddConstants(rows);
}

}  // namespace

std::vector<v1::MetricDescriptor> MetricDescriptors() {
  std::vector<v1::MetricDescriptor> all;
  for (const MetricInfo& metric : kMetrics) {
    v1::MetricDescriptor& descriptor = all.emplace_back();
    descriptor.set_name(metric.name);
    descriptor.set_help(metric.help);
    for (const char* label : kBaseLabels) descriptor.add_label_keys(label);
    for (const char* label : metric.labels) {
      if (label != nullptr) descriptor.add_label_keys(label);
    }
  }
  return all;
}

v1::PodSandboxMetrics MetricsOf(Node* node, const SandboxRecord& record,
                                const PodReading& reading) {
  v1::PodSandboxMetrics metrics;
  metrics.set_pod_sandbox_id(record.id());
  const v1::PodSandboxMetadata& pod = record.config().metadata();
  const int64_t now = node->store->NextTimestamp();
  Usage total;
  uint64_t running = 0;
  for (const auto& entry : node->store->ContainersOf(record.id())) {
    const std::shared_ptr<const ContainerRecord> container = entry->Get();
    const Usage usage = ReadUsage(*container);
    total += usage;  // of those that have ended: the time that they took
    if (container->state() != v1::CONTAINER_RUNNING) continue;
    ++running;
    v1::ContainerMetrics& of = *metrics.add_container_metrics();
    of.set_container_id(container->id());
    const v1::ContainerConfig& config = container->config();
    Rows rows({container->id(), config.metadata().name(), config.image().image(),
               config.metadata().name(), pod.name(), pod.namespace_()},
              now, of.mutable_metrics());
    AddContainer(*container, usage, now, &rows);
    AddThrottling(ThrottlingOf(container->id(), reading), &rows);
  }
  Rows rows({record.id(), pod.name(), "", "", pod.name(), pod.namespace_()}, now,
            metrics.mutable_metrics());
  AddUsage(total, &rows);
  AddInterfaces(reading.interfaces, &rows);
  AddEvents(reading.events, &rows);
  rows.Add(FindMetric("container_processes"), running);
  rows.Add(FindMetric("container_last_seen"), static_cast<uint64_t>(now) / kSecond);
  rows.Add(FindMetric("container_start_time_seconds"),
           static_cast<uint64_t>(record.created_at()) / kSecond);
  return metrics;
}

}  // namespace usetl::cri
