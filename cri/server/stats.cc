#include "cri/server/stats.h"

#include "cri/container/usage.h"
#include "cri/network/cni_result.h"
#include "cri/server/pod_reading.h"
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

v1::PsiStats Psi(const Pressure& pressure) {
  const auto set = [](const PressureShare& share, v1::PsiData* data) {
    data->set_total(share.total_us * 1000);  // nanoseconds here
    data->set_avg10(share.avg10);
    data->set_avg60(share.avg60);
    data->set_avg300(share.avg300);
  };
  v1::PsiStats stats;
  set(pressure.some, stats.mutable_some());
  set(pressure.full, stats.mutable_full());
  return stats;
}

v1::NetworkInterfaceUsage InterfaceUsage(const Interface& interface) {
  v1::NetworkInterfaceUsage usage;
  usage.set_name(interface.name);
  usage.mutable_rx_bytes()->set_value(interface.rx_bytes);
  usage.mutable_rx_errors()->set_value(interface.rx_errors);
  usage.mutable_tx_bytes()->set_value(interface.tx_bytes);
  usage.mutable_tx_errors()->set_value(interface.tx_errors);
  return usage;
}

void SetReading(const PodReading& reading, int64_t now, v1::LinuxPodSandboxStats* pod) {
  if (!reading.interfaces.empty()) pod->mutable_network()->set_timestamp(now);
  for (const Interface& interface : reading.interfaces) {
    *pod->mutable_network()->add_interfaces() = InterfaceUsage(interface);
    if (interface.name != kPodInterface) continue;
    *pod->mutable_network()->mutable_default_interface() = InterfaceUsage(interface);
  }
  const CgroupEvents& events = reading.events;
  if (events.cpu) *pod->mutable_cpu()->mutable_psi() = Psi(*events.cpu);
  if (events.memory) *pod->mutable_memory()->mutable_psi() = Psi(*events.memory);
  if (!events.io) return;
  pod->mutable_io()->set_timestamp(now);
  *pod->mutable_io()->mutable_psi() = Psi(*events.io);
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
  stats.mutable_swap()->set_timestamp(now);
  stats.mutable_swap()->mutable_swap_usage_bytes()->set_value(ReadSwap(record));
  return stats;
}

}  // namespace

v1::ContainerStats StatsOf(Node* node, const ContainerRecord& record) {
  return Make(node, record, ReadUsage(record));
}

namespace {

v1::PodSandboxStats Make(Node* node, const SandboxRecord& record, const PodReading& reading) {
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
  SetReading(reading, now, &pod);
  return stats;
}

}  // namespace

v1::PodSandboxStats StatsOf(Node* node, const std::shared_ptr<const SandboxRecord>& record) {
  return Make(node, *record, ReadPods({record})[0]);
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
  std::vector<std::shared_ptr<const SandboxRecord>> selected;
  for (const auto& record : node->store->Sandboxes()) {
    if (record->id().starts_with(filter.id()) &&
        Selects(filter.label_selector(), record->config().labels())) {
      selected.push_back(record);
    }
  }
  const std::vector<PodReading> readings = ReadPods(selected);
  std::vector<v1::PodSandboxStats> all;
  for (size_t i = 0; i < selected.size(); ++i) {
    all.push_back(Make(node, *selected[i], readings[i]));
  }
  return all;
}

}  // namespace usetl::cri
