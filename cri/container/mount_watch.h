// mount_watch.h: sees when the kubelet exchanges what a ConfigMap, Secret or token has.
//
// The kubelet writes a new directory and renames a link `..data` to it over the old one.
#ifndef USETL_CRI_CONTAINER_MOUNT_WATCH_H_
#define USETL_CRI_CONTAINER_MOUNT_WATCH_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "records.pb.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Thread-safe.
class MountWatch {
 public:
  // A read-only mount of a container that runs, by its path there.
  struct Mounted {
    std::string container, path;
  };
  // Called on a thread of its own, for a mount that may have changed.
  using OnChange = std::function<void(const Mounted& mounted)>;

  static Result<std::unique_ptr<MountWatch>> Create(OnChange on_change);
  ~MountWatch() { Stop(); }

  // Watches the mounts of a container that have a `..data` and no mount within; each counts as
  // changed at first. Errors are logged: the container does without updates.
  void Add(const ContainerRecord& container);
  void Remove(const std::string& container);
  // No call of OnChange from here on.
  void Stop();

 private:
  explicit MountWatch(OnChange on_change) : on_change_(std::move(on_change)) {}
  void Run();
  // Those whose `..data` was exchanged, as inotify says; all when it lost count.
  std::vector<Mounted> ReadChanges();

  const OnChange on_change_;
  Fd inotify_, wake_;
  std::mutex mutex_;
  std::multimap<int, Mounted> mounts_;  // by watch: two containers may share a directory
  std::vector<Mounted> added_;          // not told yet
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_MOUNT_WATCH_H_
