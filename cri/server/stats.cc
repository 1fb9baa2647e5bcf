#include "cri/server/stats.h"

#include "cri/container/usage.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

v1::CpuUsage Cpu(const Usage& usage, int64_t now) {
  v1::CpuUsage cpu;
  cpu.set_timestamp(now);
  cpu.mutable_usage_core_nano_seconds()->set_value(usage.cpu_ns);
  return cpu;
}

v1::MemoryUsage Memory(const Usage& usage, int64_t now, int64_t limit) {
  v1::MemoryUsage memory;
  memory.set_timestamp(now);
  memory.mutable_working_set_bytes()->set_value(usage.private_bytes);
  memory.mutable_rss_bytes()->set_value(usage.private_bytes);
  memory.mutable_usage_bytes()->set_value(usage.resident_bytes);
  memory.mutable_page_faults()->set_value(usage.page_faults);
  memory.mutable_major_page_faults()->set_value(usage.major_page_faults);
  if (limit > 0) {
    const auto bound = static_cast<uint64_t>(limit);
    memory.mutable_available_bytes()->set_value(bound - std::min(bound, usage.private_bytes));
  }
  return memory;
}

v1::ContainerStats Make(Node* node, const ContainerRecord& record, const Usage& usage) {
  v1::ContainerStats stats;
  v1::ContainerAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();
  // kubelet and crictl divide differences of usage by differences of time.
  const int64_t now = node->store->NextTimestamp();
  *stats.mutable_cpu() = Cpu(usage, now);
  *stats.mutable_memory() = Memory(usage, now, record.resources().memory_limit_in_bytes());
  v1::FilesystemUsage& layer = *stats.mutable_writable_layer();
  layer.set_timestamp(now);
  layer.mutable_fs_id()->set_mountpoint(node->options.state);
  // What a function writes lies in its memory, which is counted there.
  layer.mutable_used_bytes()->set_value(0);
  layer.mutable_inodes_used()->set_value(0);
  return stats;
}

}  // namespace

v1::ContainerStats StatsOf(Node* node, const ContainerRecord& record) {
  return Make(node, record, ReadUsage(record));
}

v1::PodSandboxStats StatsOf(Node* node, const SandboxRecord& record) {
  v1::PodSandboxStats stats;
  v1::PodSandboxAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();
  Usage total;
  v1::LinuxPodSandboxStats& pod = *stats.mutable_linux();
  for (const auto& container : node->store->ContainersOf(record.id())) {
    const std::shared_ptr<const ContainerRecord> of = container->Get();
    if (of->started_at() == 0) continue;
    const Usage usage = ReadUsage(*of);
    *pod.add_containers() = Make(node, *of, usage);
    total += usage;
  }
  const int64_t now = node->store->NextTimestamp();
  *pod.mutable_cpu() = Cpu(total, now);
  *pod.mutable_memory() = Memory(total, now, 0);
  pod.mutable_process()->set_timestamp(now);
  pod.mutable_process()->mutable_process_count()->set_value(total.processes);
  return stats;
}

std::vector<v1::ContainerStats> SelectStats(Node* node, const v1::ContainerStatsFilter& filter) {
  std::vector<v1::ContainerStats> all;
  for (const auto& record : node->store->Containers()) {
    if (record->started_at() == 0 || !record->id().starts_with(filter.id()) ||
        !record->sandbox_id().starts_with(filter.pod_sandbox_id()) ||
        !Selects(filter.label_selector(), record->config().labels())) {
      continue;
    }
    all.push_back(StatsOf(node, *record));
  }
  return all;
}

std::vector<v1::PodSandboxStats> SelectStats(Node* node, const v1::PodSandboxStatsFilter& filter) {
  std::vector<v1::PodSandboxStats> all;
  for (const auto& record : node->store->Sandboxes()) {
    if (record->id().starts_with(filter.id()) &&
        Selects(filter.label_selector(), record->config().labels())) {
      all.push_back(StatsOf(node, *record));
    }
  }
  return all;
}

}  // namespace usetl::cri
