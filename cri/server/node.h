// node.h: what the verbs share: configuration, records, names, events.
#ifndef USETL_CRI_SERVER_NODE_H_
#define USETL_CRI_SERVER_NODE_H_

#include <atomic>
#include <memory>
#include <string>

#include "cri/cgroup/driver.h"
#include "cri/cgroup/parent_cgroups.h"
#include "cri/container/image_packs.h"
#include "cri/container/image_runtimes.h"
#include "cri/container/monitor.h"
#include "cri/container/mount_watch.h"
#include "cri/image/image_store.h"
#include "cri/metrics/metrics.h"
#include "cri/network/cni.h"
#include "cri/network/namespaces.h"
#include "cri/server/capacity.h"
#include "cri/server/events.h"
#include "cri/server/health.h"
#include "cri/server/image_collector.h"
#include "cri/server/leases.h"
#include "cri/server/network_check.h"
#include "cri/store/names.h"
#include "cri/store/store.h"

namespace usetl::cri {

struct NodeOptions {
  std::string socket;             // where the CRI is served
  std::string state;              // directory: database, exit files, control sockets
  std::string images;             // directory of the image store
  std::string pods;               // usetl-proxy's socket for pods
  std::string vmmd;               // usetl-vmmd's socket, asked for the state of the pool
  std::string network_directory;  // paths of network namespaces
  std::string runtime;            // of images that name none
  std::string streaming_address = "127.0.0.1:0";  // of exec, attach and port-forward
  std::string metrics_address;                    // ADDRESS:PORT; empty: metrics are not served
  uint32_t ready_namespaces = 16;
  bool network = true;  // false: pods have a loopback only
  CniOptions cni;
  CgroupDriver cgroup_driver = CgroupDriver::kCgroupfs;
  image::StoreConfig registries;  // mirrors, hosts without TLS, certificates, pinned images
};

class Node {
 public:
  // Opens the records of the last usetld and takes up its containers: those that still run are
  // watched on, the others get the exit that their workers wrote.
  static Result<std::unique_ptr<Node>> Open(const NodeOptions& options);

  ~Node() {
    if (mounts != nullptr) mounts->Stop();  // its thread uses the monitor, whose thread uses it
  }

  // Removes the runtimes of images that are gone and that no container uses. What cannot be removed
  // takes room and harms nobody: it is logged.
  void CollectRuntimes();

  const NodeOptions options;
  const std::unique_ptr<Store> store;
  const std::unique_ptr<image::ImageStore> images;
  ImageCollector image_collector;
  std::unique_ptr<ImageRuntimes> runtimes;  // of images
  ImagePacks packs;
  Namespaces namespaces;
  Cni cni;
  NetworkCheck network_check;
  ParentCgroups parents;
  std::atomic<bool> cgroups_missed = false;  // it was said that one cannot be made
  Capacity capacity;
  Health health;
  Names sandbox_names, container_names;
  Leases leases;
  Events events;
  Metrics metrics;
  std::unique_ptr<MountWatch> mounts;
  std::unique_ptr<Monitor> monitor;  // last: its thread uses the others

 private:
  Node(NodeOptions options_in, std::unique_ptr<Store> store_in,
       std::unique_ptr<image::ImageStore> images_in)
      : options(std::move(options_in)),
        store(std::move(store_in)),
        images(std::move(images_in)),
        image_collector(images.get()),
        namespaces(options.network_directory, options.ready_namespaces),
        cni(options.cni),
        network_check(&cni),
        capacity(store.get(), options.vmmd),
        health(options.pods, options.vmmd, &capacity) {}
  Status CollectRuntimesNow();
  Status ReleaseUnfinished();
  // Of pods that are ready: the last usetld may have been killed before it had made what it stored.
  void MakeCgroups();
  Status TakeUp();
  // As far as they are still there.
  void LeaseImagesOf(const ContainerRecord& container);
  // Hands a mount that was exchanged to the container's worker.
  Status UpdateMount(const MountWatch::Mounted& mounted);
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_NODE_H_
