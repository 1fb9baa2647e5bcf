#include "cri/server/lifecycle.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>
#include <thread>

#include "cri/container/image_volume.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

// A worker gets so long beyond the grace to roll back and report.
constexpr std::chrono::seconds kPatience{10};

std::string Base(const Node& node, const std::string& container) {
  return node.options.state + "/containers/" + container.substr(0, 16);
}

const char* ReasonText(pod::Reason reason) {
  switch (reason) {
    case pod::Reason::kCompleted:
      return "Completed";
    case pod::Reason::kError:
      return "Error";
    case pod::Reason::kOutOfMemory:
      return "OOMKilled";
    case pod::Reason::kLost:
      return "Unknown";
  }
  return "Error";
}

void SetExit(const std::optional<ContainerExit>& exit, int64_t now, ContainerRecord* record) {
  record->set_state(v1::CONTAINER_EXITED);
  record->set_worker_pid(0);
  record->set_worker_started(0);
  record->set_usf_pid(0);
  if (!exit.has_value()) {
    record->set_finished_at(now);
    record->set_exit_code(255);
    record->set_reason("Unknown");
    record->set_message("the worker of the container was killed, or usetl-proxy ended");
    return;
  }
  const pod::ExitRecord& said = exit->record;
  // Never before its start, whatever the clock did meanwhile.
  record->set_finished_at(std::max(said.finished_at, record->started_at() + 1));
  record->set_exit_code(said.code);
  record->set_reason(ReasonText(said.reason));
  record->set_message(exit->text);
  record->set_cpu_ns(said.cpu_ns);
  record->set_lines_lost(said.lines_lost);
}

// False: this process can have no more threads.
bool Begin(std::jthread* thread, std::function<void()> work) {
  try {
    *thread = std::jthread(std::move(work));
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

std::string ControlSocket(const Node& node, const std::string& container) {
  return Base(node, container) + ".sock";
}

std::string ExitFile(const Node& node, const std::string& container) {
  return Base(node, container) + ".exit";
}

Result<Fd> OpenLog(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  Fd log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!log.ok()) return Status::Errno("open the log " + path);
  return log;
}

Status PlanPod(Node* node, SandboxRecord* record) {
  record->set_network_namespace(node->namespaces.PathFor(record->id()));
  if (node->options.network) USETL_RETURN_IF_ERROR(node->cni.Choose(record));
  return PlanCgroup(node, record);
}

Status EquipPod(Node* node, SandboxRecord* record) {
  // Plugins may be told of the cgroup above.
  Status cgroup = CreateParentCgroups(*record);
  if (!cgroup.ok()) USETL_RETURN_IF_ERROR(DoWithoutCgroup(node, record, cgroup));
  const bool plugins = !record->network_config().empty();
  std::jthread beside;
  // Plugins take tens of milliseconds, which the cgroup need not be made behind.
  if (!plugins || record->cgroup().empty() ||
      !Begin(&beside, [&cgroup, planned = *record] { cgroup = CreateCgroup(planned); })) {
    cgroup = CreateCgroup(*record);
    if (!cgroup.ok()) USETL_RETURN_IF_ERROR(DoWithoutCgroup(node, record, cgroup));
    return AttachNetwork(node, record);
  }
  const Status network = AttachNetwork(node, record);
  beside.join();
  if (!network.ok()) return network;
  return cgroup.ok() ? cgroup : DoWithoutCgroup(node, record, cgroup);
}

Status ReleasePod(Node* node, SandboxRecord* record) {
  // Neither waits for the other: what can be given back is.
  const Status network = DetachNetwork(node, record);
  const Status cgroup = RemoveCgroup(node, record);
  return network.ok() ? cgroup : network;
}

namespace {

bool HoldsAnything(const SandboxRecord& record) {
  return !record.network_namespace().empty() || !record.network_config().empty() ||
         !record.cgroup().empty();
}

}  // namespace

Status StopSandbox(Node* node, Sandbox& sandbox) {
  const std::lock_guard lock(sandbox.verb);
  SandboxRecord record = *sandbox.Get();
  if (node->store->FindSandbox(record.id()) == nullptr) return Status();  // removed meanwhile
  const bool was_ready = record.state() == v1::SANDBOX_READY;
  if (was_ready) {
    // First: whoever starts a container of it looks at this while the stop below waits for him, or
    // behind it.
    record.set_state(v1::SANDBOX_NOTREADY);
    USETL_RETURN_IF_ERROR(node->store->Update(record));
  }
  for (const auto& container : node->store->ContainersOf(record.id())) {
    USETL_RETURN_IF_ERROR(StopContainerOf(node, *container, std::chrono::milliseconds(0)));
  }
  if (!was_ready && !HoldsAnything(record)) return Status();
  const Status released = ReleasePod(node, &record);
  // What is left is stored too: the client repeats the call.
  USETL_RETURN_IF_ERROR(node->store->Update(record));
  if (was_ready) PublishSandboxEvent(node, record, v1::CONTAINER_STOPPED_EVENT);
  return released;
}

Status StopContainerOf(Node* node, Container& container, std::chrono::milliseconds grace) {
  std::shared_ptr<const ContainerRecord> record;
  {
    // A start that is under way gives up. Not held while it ends, for that changes the record.
    ++container.ending;
    const std::lock_guard lock(container.verb);
    --container.ending;
    record = container.Get();
  }
  if (record->state() != v1::CONTAINER_RUNNING) return Status();
  if (const Status sent = node->monitor->Stop(record->id(), grace); !sent.ok()) {
    if (sent.code() != ENOENT) node->monitor->Kill(record->id());
  }
  if (node->monitor->WaitForExit(record->id(), grace + kPatience)) return Status();
  node->monitor->Kill(record->id());
  if (node->monitor->WaitForExit(record->id(), kPatience)) return Status();
  return Status(ETIMEDOUT, "the container " + record->id() + " does not end");
}

Status RemoveContainerOf(Node* node, Container& container) {
  USETL_RETURN_IF_ERROR(StopContainerOf(node, container, std::chrono::milliseconds(0)));
  const std::lock_guard lock(container.verb);
  const std::shared_ptr<const ContainerRecord> record = container.Get();
  if (node->store->FindContainer(record->id()) == nullptr) return Status();  // two at a time
  if (record->state() == v1::CONTAINER_RUNNING) {
    return Status(EBUSY, "the container " + record->id() + " was started meanwhile");
  }
  for (const std::string& path :
       {ControlSocket(*node, record->id()), ExitFile(*node, record->id())}) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path);
  }
  const std::shared_ptr<Sandbox> pod = node->store->FindSandbox(record->sandbox_id());
  if (pod != nullptr) USETL_RETURN_IF_ERROR(RemoveContainerCgroup(*pod->Get(), record->id()));
  USETL_RETURN_IF_ERROR(node->store->RemoveContainer(record->id()));
  node->container_names.Release(ContainerName(record->config().metadata(), record->sandbox_id()));
  const bool volume_removed =
      std::ranges::any_of(record->config().mounts(), [&](const v1::Mount& mount) {
        return IsImageVolume(mount) &&
               node->images->Find(mount.image().image_ref()).status().code() == ENOENT;
      });
  DropImage(node, record->id(), record->image_id());
  if (volume_removed) node->image_collector.Collect();
  PublishContainerEvent(node, *record, v1::CONTAINER_DELETED_EVENT);
  return Status();
}

void DropImage(Node* node, const std::string& container, const std::string& image) {
  node->leases.Drop(container);
  if (node->images->Find(image).status().code() != ENOENT) return;
  node->image_collector.Collect();
  node->CollectRuntimes();
}

void StartCounting(Node* node, const std::string& container, Worker* worker) {
  if (node->options.metrics_address.empty()) return;
  const Result<Fd> page = node->metrics.workers.Open(container);
  const Status status = page.ok() ? worker->Count(page->get()) : page.status();
  if (status.ok()) return;
  spdlog::warn("container {}: metrics will not count it: {}", container, status.message());
}

void OnContainerExit(Node* node, const std::string& id, std::optional<ContainerExit> exit) {
  node->metrics.workers.Close(id);
  const std::shared_ptr<Container> container = node->store->FindContainer(id);
  if (container == nullptr) return;
  if (!exit.has_value()) exit = ReadExitFile(ExitFile(*node, id));
  const std::lock_guard lock(container->verb);
  node->mounts->Remove(id);  // behind a start that adds them
  ContainerRecord record = *container->Get();
  if (record.state() != v1::CONTAINER_RUNNING) return;
  SetExit(exit, node->store->NextTimestamp(), &record);
  if (const Status stored = node->store->Update(record); !stored.ok()) {
    // True all the same: clients see it, and the next usetld reads the exit file.
    spdlog::error("container {}: its exit is not stored: {}", id, stored.message());
    node->store->Remember(std::move(record));
    PublishContainerEvent(node, *container->Get(), v1::CONTAINER_STOPPED_EVENT);
    return;
  }
  PublishContainerEvent(node, record, v1::CONTAINER_STOPPED_EVENT);
}

namespace {

void Publish(Node* node, const std::string& id, const std::string& sandbox,
             v1::ContainerEventType type, const SandboxRecord* removed) {
  if (!node->events.HasListeners()) return;
  v1::ContainerEventResponse event;
  event.set_container_id(id);
  event.set_container_event_type(type);
  event.set_created_at(node->store->NextTimestamp());
  const std::shared_ptr<Sandbox> entry = node->store->FindSandbox(sandbox);
  if (removed != nullptr) {
    *event.mutable_pod_sandbox_status() = StatusOf(*removed);
  } else if (entry != nullptr) {
    *event.mutable_pod_sandbox_status() = StatusOf(*entry->Get());
  }
  for (const auto& container : node->store->ContainersOf(sandbox)) {
    *event.add_containers_statuses() = StatusOf(*container->Get());
  }
  node->events.Publish(std::move(event));
}

}  // namespace

void PublishSandboxEvent(Node* node, const SandboxRecord& record, v1::ContainerEventType type) {
  Publish(node, record.id(), record.id(), type, &record);
}

void PublishContainerEvent(Node* node, const ContainerRecord& record, v1::ContainerEventType type) {
  Publish(node, record.id(), record.sandbox_id(), type, nullptr);
}

}  // namespace usetl::cri
