// metric_table.h: the metrics of pods and containers, named as cAdvisor names them.
#ifndef USETL_CRI_SERVER_METRIC_TABLE_H_
#define USETL_CRI_SERVER_METRIC_TABLE_H_

#include <array>
#include <cstddef>
#include <string_view>

#include "runtime.pb.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

// Labels that every metric has. For a pod's own, id and name are the pod's, image and container
// are empty.
inline constexpr std::array kBaseLabels = {"id", "name", "image", "container", "pod", "namespace"};

struct MetricInfo {
  const char* name;
  v1::MetricType type;
  const char* help;
  std::array<const char*, 4> labels{};  // beyond the base; null: no more
};

inline constexpr MetricInfo kMetrics[] = {
    {"container_blkio_device_usage_total",
     v1::COUNTER,
     "Bytes moved from and to block devices; a function has none",
     {"device", "major", "minor", "operation"}},
    {"container_cpu_cfs_periods_total", v1::COUNTER, "Periods of the CPU limit that have passed"},
    {"container_cpu_cfs_throttled_periods_total", v1::COUNTER,
     "Periods in which the CPU limit was reached"},
    {"container_cpu_cfs_throttled_seconds_total", v1::COUNTER,
     "Time for which the CPU limit kept the container, in seconds"},
    {"container_cpu_system_seconds_total", v1::COUNTER,
     "CPU time of the USF and its worker in kernel mode, in seconds"},
    {"container_cpu_usage_seconds_total",
     v1::COUNTER,
     "CPU time of the USF and its worker, in seconds",
     {"cpu"}},
    {"container_cpu_user_seconds_total", v1::COUNTER,
     "CPU time of the USF and its worker in user and guest mode, in seconds"},
    {"container_file_descriptors", v1::GAUGE, "Open descriptors of the USF and its worker"},
    {"container_fs_inodes_free",
     v1::GAUGE,
     "Free inodes; 0: what a function writes lies in its memory",
     {"device"}},
    {"container_fs_inodes_total",
     v1::GAUGE,
     "Inodes; 0: what a function writes lies in its memory",
     {"device"}},
    {"container_fs_limit_bytes",
     v1::GAUGE,
     "Most bytes on disk; 0: what a function writes lies in its memory",
     {"device"}},
    {"container_fs_reads_bytes_total",
     v1::COUNTER,
     "Bytes read from disks by the function",
     {"device"}},
    {"container_fs_reads_total", v1::COUNTER, "Reads from disks by the function", {"device"}},
    {"container_fs_usage_bytes",
     v1::GAUGE,
     "Bytes on disk; 0: what a function writes lies in its memory",
     {"device"}},
    {"container_fs_writes_bytes_total",
     v1::COUNTER,
     "Bytes written to disks by the function",
     {"device"}},
    {"container_fs_writes_total", v1::COUNTER, "Writes to disks by the function", {"device"}},
    {"container_last_seen", v1::GAUGE, "When the container was seen last, in seconds since 1970"},
    {"container_memory_cache", v1::GAUGE,
     "Resident memory that is shared: snapshot, packs and regions, in bytes"},
    {"container_memory_failcnt", v1::COUNTER, "Times that the memory limit was hit"},
    {"container_memory_failures_total",
     v1::COUNTER,
     "Page faults of the USF and its worker",
     {"failure_type", "scope"}},
    {"container_memory_kernel_usage", v1::GAUGE, "Page tables of the USF and its worker, in bytes"},
    {"container_memory_mapped_file", v1::GAUGE,
     "Resident memory that is mapped from snapshot, packs and regions, in bytes"},
    {"container_memory_max_usage_bytes", v1::GAUGE,
     "Peaks of resident memory of the USF and its worker, added up, in bytes"},
    {"container_memory_rss", v1::GAUGE, "Memory that only this container has, in bytes"},
    {"container_memory_swap", v1::GAUGE, "Memory that is swapped out, in bytes"},
    {"container_memory_usage_bytes", v1::GAUGE,
     "Resident memory, with what is shared between containers, in bytes"},
    {"container_memory_working_set_bytes", v1::GAUGE,
     "Memory that only this container has, in bytes"},
    {"container_network_receive_bytes_total", v1::COUNTER, "Bytes received", {"interface"}},
    {"container_network_receive_errors_total",
     v1::COUNTER,
     "Errors while receiving",
     {"interface"}},
    {"container_network_receive_packets_dropped_total",
     v1::COUNTER,
     "Packets dropped while receiving",
     {"interface"}},
    {"container_network_receive_packets_total", v1::COUNTER, "Packets received", {"interface"}},
    {"container_network_transmit_bytes_total", v1::COUNTER, "Bytes sent", {"interface"}},
    {"container_network_transmit_errors_total", v1::COUNTER, "Errors while sending", {"interface"}},
    {"container_network_transmit_packets_dropped_total",
     v1::COUNTER,
     "Packets dropped while sending",
     {"interface"}},
    {"container_network_transmit_packets_total", v1::COUNTER, "Packets sent", {"interface"}},
    {"container_oom_events_total", v1::COUNTER,
     "Times that the function ran out of memory; it ends by it"},
    {"container_pressure_cpu_stalled_seconds_total", v1::COUNTER,
     "Time in which the whole pod waited for a processor, in seconds"},
    {"container_pressure_cpu_waiting_seconds_total", v1::COUNTER,
     "Time in which some of the pod waited for a processor, in seconds"},
    {"container_pressure_io_stalled_seconds_total", v1::COUNTER,
     "Time in which the whole pod waited for a disk, in seconds"},
    {"container_pressure_io_waiting_seconds_total", v1::COUNTER,
     "Time in which some of the pod waited for a disk, in seconds"},
    {"container_pressure_memory_stalled_seconds_total", v1::COUNTER,
     "Time in which the whole pod waited for memory, in seconds"},
    {"container_pressure_memory_waiting_seconds_total", v1::COUNTER,
     "Time in which some of the pod waited for memory, in seconds"},
    {"container_processes", v1::GAUGE, "Processes: a function is one, in a micro-VM"},
    {"container_sockets", v1::GAUGE, "Open sockets of the USF and its worker"},
    {"container_spec_cpu_period", v1::GAUGE, "Period of the CPU limit, in microseconds"},
    {"container_spec_cpu_quota", v1::GAUGE,
     "CPU time within a period, in microseconds; missing: no limit"},
    {"container_spec_cpu_shares", v1::GAUGE, "Share of the CPU that was asked for"},
    {"container_spec_memory_limit_bytes", v1::GAUGE,
     "Memory limit, in bytes; 0: the node's limit of a function"},
    {"container_spec_memory_reservation_limit_bytes", v1::GAUGE,
     "Memory that is kept for the container, in bytes"},
    {"container_spec_memory_swap_limit_bytes", v1::GAUGE,
     "Limit of memory and swap together, in bytes; 0: none was asked for"},
    {"container_start_time_seconds", v1::GAUGE, "When it started, in seconds since 1970"},
    {"container_threads", v1::GAUGE, "Threads that the host sees: a micro-VM's one processor"},
    {"container_threads_max", v1::GAUGE, "Most threads that the host sees"},
};

// The place of a metric; a name that is not there does not compile.
consteval size_t FindMetric(std::string_view name) {
  for (size_t i = 0; i < std::size(kMetrics); ++i) {
    if (name == kMetrics[i].name) return i;
  }
  throw "no such metric";
}

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_METRIC_TABLE_H_
