#include "cri/server/node.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <set>

#include "cri/container/contents.h"
#include "cri/container/orphans.h"
#include "cri/server/lifecycle.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

// For workers that were told to end when usetld starts, and once more for those that were killed.
constexpr std::chrono::seconds kOrphanPatience{2};

ProcessMark MarkOf(const ContainerRecord& container) {
  return {.pid = container.worker_pid(), .started = container.worker_started()};
}

}  // namespace

Result<std::unique_ptr<Node>> Node::Open(const NodeOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.state + "/containers", error);
  if (error) return Status(error.value(), "create " + options.state + ": " + error.message());
  Result<std::unique_ptr<Store>> store = Store::Open(options.state + "/state.db");
  if (!store.ok()) return store.status();
  image::StoreConfig images_config = options.registries;
  images_config.on_retry = [](const std::string& line) { spdlog::warn("pulling {}", line); };
  Result<std::unique_ptr<image::ImageStore>> images =
      image::ImageStore::Open(options.images, images_config);
  if (!images.ok()) return images.status();
  std::unique_ptr<Node> node(new Node(options, std::move(*store), std::move(*images)));
  Result<std::unique_ptr<Monitor>> monitor =
      Monitor::Create([raw = node.get()](const std::string& id, std::optional<ContainerExit> exit) {
        OnContainerExit(raw, id, std::move(exit));
      });
  if (!monitor.ok()) return monitor.status();
  node->monitor = std::move(*monitor);
  Result<std::unique_ptr<MountWatch>> mounts =
      MountWatch::Create([raw = node.get()](const MountWatch::Mounted& mounted) {
        const Status status = raw->UpdateMount(mounted);
        if (status.ok() || status.code() == ENOENT) return;  // the container has ended meanwhile
        spdlog::warn("container {}: {}", mounted.container, status.message());
      });
  if (!mounts.ok()) return mounts.status();
  node->mounts = std::move(*mounts);
  Result<std::unique_ptr<ImageRuntimes>> runtimes =
      ImageRuntimes::Open(options.images + "/runtimes");
  if (!runtimes.ok()) return runtimes.status();
  node->runtimes = std::move(*runtimes);
  USETL_RETURN_IF_ERROR(node->TakeUp());
  const auto pods = node->store->Sandboxes();
  node->network_check.Begin({pods.begin(), pods.end()});
  node->CollectRuntimes();
  return node;
}

// Nobody was told of these pods, and whatever they hold is of no use.
Status Node::ReleaseUnfinished() {
  for (SandboxRecord record : store->unfinished()) {
    const Status released = ReleasePod(this, &record);
    if (released.ok()) {
      USETL_RETURN_IF_ERROR(store->Forget(record.id()));
      continue;
    }
    spdlog::warn("pod {}: it was being made when usetld ended, and cannot be released: {}",
                 record.id(), released.message());
    // Listed, so that somebody removes it, which tries again.
    record.set_state(v1::SANDBOX_NOTREADY);
    record.set_created_at(store->NextTimestamp());
    USETL_RETURN_IF_ERROR(store->Add(std::move(record)));
  }
  return Status();
}

void Node::MakeCgroups() {
  for (const auto& sandbox : store->Sandboxes()) {
    if (sandbox->state() != v1::SANDBOX_READY || sandbox->cgroup().empty()) continue;
    Status made = MakeCgroup(*sandbox);
    if (made.ok()) continue;
    SandboxRecord without = *sandbox;
    made = DoWithoutCgroup(this, &without, made);
    if (made.ok()) made = store->Update(std::move(without));
    if (!made.ok()) spdlog::warn("pod {}: {}", sandbox->id(), made.message());
  }
}

void Node::LeaseImagesOf(const ContainerRecord& container) {
  const auto lease = [&](const std::string& image) {
    Result<image::ImageLease> leased = images->Lease(image);
    if (!leased.ok()) {
      spdlog::warn("container {}: an image of it is gone: {}", container.id(),
                   leased.status().message());
    }
    return leased;
  };
  Result<image::ImageLease> own = lease(container.image_id());
  if (own.ok()) leases.Keep(container.id(), std::move(*own));
  std::vector<image::ImageLease> volumes;
  for (const v1::Mount& mount : container.config().mounts()) {
    if (!IsImageVolume(mount)) continue;
    Result<image::ImageLease> volume = lease(mount.image().image_ref());
    if (volume.ok()) volumes.push_back(std::move(*volume));
  }
  leases.KeepVolumes(container.id(), std::move(volumes));
}

Status Node::TakeUp() {
  const auto hold = [&](const SandboxRecord& pod) {
    parents.HoldAgain({pod.parent_cgroups().begin(), pod.parent_cgroups().end()}, pod.id());
  };
  for (const auto& sandbox : store->Sandboxes()) hold(*sandbox);
  for (const SandboxRecord& unfinished : store->unfinished()) hold(unfinished);
  USETL_RETURN_IF_ERROR(ReleaseUnfinished());
  MakeCgroups();
  for (const auto& sandbox : store->Sandboxes()) {
    const Status reserved =
        sandbox_names.Reserve(SandboxName(sandbox->config().metadata()), sandbox->id());
    if (!reserved.ok()) spdlog::warn("pod {}: {}", sandbox->id(), reserved.message());
  }
  Orphans orphans;
  for (const auto& container : store->Containers()) {
    const std::string& id = container->id();
    USETL_RETURN_IF_ERROR(container_names.Reserve(
        ContainerName(container->config().metadata(), container->sandbox_id()), id));
    LeaseImagesOf(*container);
    if (container->state() == v1::CONTAINER_CREATED) {
      // Of a start that the end of usetld cut off: nobody heard that it succeeded.
      orphans.Add(ControlSocket(*this, id), MarkOf(*container));
      for (const std::string& path : {ControlSocket(*this, id), ExitFile(*this, id)}) {
        if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path);
      }
    }
    if (container->state() != v1::CONTAINER_RUNNING) continue;
    Result<Worker> worker = Worker::Reconnect(ControlSocket(*this, id), MarkOf(*container));
    if (worker.ok()) {
      StartCounting(this, id, &*worker);
      USETL_RETURN_IF_ERROR(monitor->Watch(id, std::move(*worker)));
      mounts->Add(*container);
    } else {
      OnContainerExit(this, id, std::nullopt);
    }
  }
  orphans.End(kOrphanPatience);
  return Status();
}

void Node::CollectRuntimes() {
  if (const Status collected = CollectRuntimesNow(); !collected.ok()) {
    spdlog::warn("runtimes of images: {}", collected.message());
  }
}

Status Node::CollectRuntimesNow() {
  const Result<std::shared_ptr<const image::ImageList>> list = images->List();
  if (!list.ok()) return list.status();
  std::set<std::string> ids;
  for (const image::ImagePtr& image : (*list)->images) ids.insert(image->id);
  for (const auto& container : store->Containers()) ids.insert(container->image_id());
  // Behind the list: who has a lease by then has seen the image in there (container_create.cc).
  ids.merge(leases.ImageIds());
  return runtimes->Keep(ids);
}

Status Node::UpdateMount(const MountWatch::Mounted& mounted) {
  const std::shared_ptr<Container> container = store->FindContainer(mounted.container);
  if (container == nullptr) return Status(ENOENT, "no such container");
  const std::shared_ptr<const ContainerRecord> record = container->Get();
  for (const v1::Mount* mount : MountsThatShow(record->config())) {
    if (mount->container_path() != mounted.path) continue;
    Result<Contents> contents = CollectMount(record->config(), *mount);
    if (!contents.ok()) return contents.status();
    const nlohmann::json text = {{"path", mounted.path},
                                 {"files", contents->files},
                                 {"directories", contents->directories},
                                 {"links", contents->links}};
    return monitor->UpdateMount(mounted.container,
                                text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                                contents->file);
  }
  return Status();
}

}  // namespace usetl::cri
