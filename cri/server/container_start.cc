#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cri/container/contents.h"
#include "cri/container/function.h"
#include "cri/server/lifecycle.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

constexpr int kStartError = 128;  // as container runtimes have it

bool ReadOnlyRoot(const ContainerRecord& container) {
  return container.config().linux().security_context().readonly_rootfs();
}

void SetWorker(const ProcessMark& process, ContainerRecord* record) {
  record->set_worker_pid(process.pid);
  record->set_worker_started(process.started);
}

Result<nlohmann::json> StartText(const Function& function, const Contents& contents,
                                 const SandboxRecord& pod, const ContainerRecord& container) {
  return nlohmann::json{{"id", container.id()},
                        {"runtime", function.runtime},
                        {"tenant", function.tenant},
                        {"memory", container.resources().memory_limit_in_bytes()},
                        {"mode", function.mode},
                        {"path", function.path},
                        {"target", function.target},
                        {"cwd", function.working_directory},
                        {"argv", function.arguments},
                        {"env", function.environment},
                        {"hostname", pod.config().hostname()},
                        {"ports", function.ports},
                        {"allow", function.allowed.value_or(std::vector<std::string>())},
                        {"network", !function.allowed.has_value()},
                        {"files", contents.files},
                        {"directories", contents.directories},
                        {"links", contents.links},
                        {"read_only_root", ReadOnlyRoot(container)},
                        {"timeout_ms", function.timeout.count()},
                        {"start_timeout_ms", 60'000}};
}

// Everything that a worker needs; the descriptors live as long as this.
struct Prepared {
  image::ImagePtr image;
  Contents contents;
  Fd network, log;
  std::vector<Fd> packs;
  std::vector<CgroupFile> cgroups;
  WorkerStart start;
};

Status Prepare(Node* node, const SandboxRecord& pod, const ContainerRecord& record,
               Prepared* prepared) {
  Result<image::ImagePtr> image = node->leases.ImageOf(record.id());
  if (!image.ok()) return image.status();
  prepared->image = *image;
  Result<Function> function = ResolveFunction(**image, pod, record, node->options.runtime);
  if (!function.ok()) return function.status();
  Result<Identity> identity = IdentityOf(record, **image);
  if (!identity.ok()) return identity.status();
  Result<std::vector<PodFile>> files = PodFiles(pod.config());
  if (!files.ok()) return files.status();
  Result<Contents> contents =
      CollectContents(record, *files, *identity, node->leases.VolumesOf(record.id()));
  if (!contents.ok()) return contents.status();
  prepared->contents = std::move(*contents);
  Result<nlohmann::json> text = StartText(*function, prepared->contents, pod, record);
  if (!text.ok()) return text.status();
  Result<Fd> network = Namespaces::Open(pod.network_namespace());
  if (!network.ok()) return network.status();
  prepared->network = std::move(*network);
  if (!record.log_path().empty()) {
    Result<Fd> log = OpenLog(record.log_path());
    if (!log.ok()) return log.status();
    prepared->log = std::move(*log);
  }
  Result<std::vector<CgroupFile>> cgroups = OpenCgroup(pod, record);
  if (!cgroups.ok()) return cgroups.status();
  prepared->cgroups = std::move(*cgroups);
  WorkerStart& start = prepared->start;
  for (const CgroupFile& cgroup : prepared->cgroups) {
    if (cgroup.for_usf) start.usf_cgroups |= 1u << start.cgroups.size();
    start.cgroups.push_back(cgroup.file.get());
  }
  // A runtime of the image's own has its layers already.
  const bool own_runtime = !record.runtime().empty();
  if (!own_runtime) {
    Result<std::vector<Fd>> packs = node->packs.Open(**image);
    if (!packs.ok()) return packs.status();
    prepared->packs = std::move(*packs);
  }
  for (const Fd& pack : prepared->packs) start.packs.push_back(pack.get());
  start.pods_socket = node->options.pods;
  start.control_socket = ControlSocket(*node, record.id());
  start.exit_file = ExitFile(*node, record.id());
  start.network_namespace = prepared->network.get();
  start.log = prepared->log.ok() ? prepared->log.get() : -1;
  start.contents = prepared->contents.file.ok() ? prepared->contents.file.get() : -1;
  for (const Fd& directory : prepared->contents.mounted_directories) {
    start.mounted_directories.push_back(directory.get());
  }
  for (const Fd& file : prepared->contents.writable_files) {
    start.writable_files.push_back(file.get());
  }
  start.identity = std::move(*identity);
  start.oom_score = static_cast<int>(record.resources().oom_score_adj());
  start.text = text->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return Status();
}

// Of a start that failed, for whoever asked for it: which container, and where it says more.
usetl::Status Explain(const usetl::Status& status, const ContainerRecord& container) {
  std::error_code error;
  const std::string& log = container.log_path();
  const bool says_more = !log.empty() && std::filesystem::file_size(log, error) > 0 && !error;
  return usetl::Status(status.code(), "container " + container.config().metadata().name() + ": " +
                                          status.message() +
                                          (says_more ? "; its log is " + log : ""));
}

}  // namespace

grpc::Status RuntimeService::StartContainer(grpc::ServerContext* context,
                                            const v1::StartContainerRequest* request,
                                            v1::StartContainerResponse*) {
  const std::shared_ptr<Container> container = node_.store->FindContainer(request->container_id());
  if (container == nullptr) return NotFound("container", request->container_id());
  const std::lock_guard lock(container->verb);
  ContainerRecord record = *container->Get();
  if (node_.store->FindContainer(record.id()) == nullptr) return NotFound("container", record.id());
  if (record.state() != v1::CONTAINER_CREATED) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the container " + record.id() + " was started before");
  }
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(record.sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", record.sandbox_id());
  const std::shared_ptr<const SandboxRecord> pod = sandbox->Get();
  if (pod->state() != v1::SANDBOX_READY) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the pod sandbox " + pod->id() + " is not ready");
  }
  Prepared prepared;
  usetl::Status status = Prepare(&node_, *pod, record, &prepared);
  std::optional<Worker> worker;
  bool stopped = false;  // by a call that came meanwhile
  bool out_of_memory = false;
  if (status.ok()) {
    container->starting = true;
    Worker::Launching launching;
    launching.taken = [&](const ProcessMark& process) {
      // So that the next usetld can end it, should this one be killed.
      SetWorker(process, &record);
      return node_.store->Update(record);
    };
    launching.cancelled = [&] {
      stopped = container->ending > 0;
      return stopped || context->IsCancelled();
    };
    launching.out_of_memory = [&] { out_of_memory = true; };
    Result<Worker> launched = Worker::Launch(prepared.start, launching);
    status = launched.status();
    if (launched.ok()) worker = std::move(*launched);
  }
  record.set_started_at(node_.store->NextTimestamp());
  if (!status.ok()) {
    record.set_state(v1::CONTAINER_EXITED);
    SetWorker({}, &record);
    record.set_finished_at(node_.store->NextTimestamp());
    stopped = stopped && status.code() == ECANCELED;
    record.set_exit_code(stopped || out_of_memory ? 128 + SIGKILL : kStartError);
    record.set_reason(stopped ? "Error" : out_of_memory ? "OOMKilled" : "StartError");
    record.set_message(status.message());
    if (usetl::Status stored = node_.store->Update(record); !stored.ok()) return ToGrpc(stored);
    PublishContainerEvent(&node_, record, v1::CONTAINER_STOPPED_EVENT);
    status = Explain(status, record);
    if (stopped) return grpc::Status(grpc::StatusCode::ABORTED, status.message());
    return ToGrpc(status);
  }
  record.set_state(v1::CONTAINER_RUNNING);
  record.set_usf_pid(worker->started().usf);
  record.set_outside_cgroup(pod->cgroup().empty());
  record.set_usf_cpu_ns(worker->started().usf_cpu_ns);
  // A worker whose container is not stored as running must not stay: it ends with its connection
  // only after a stop.
  status = node_.store->Update(record);
  if (!status.ok()) {
    worker->TakeBack();
    return ToGrpc(status);
  }
  StartCounting(&node_, record.id(), &*worker);
  PublishContainerEvent(&node_, record, v1::CONTAINER_STARTED_EVENT);
  status = node_.monitor->Watch(record.id(), std::move(*worker));
  if (status.ok()) node_.mounts->Add(record);
  return ToGrpc(status);
}

}  // namespace usetl::cri
