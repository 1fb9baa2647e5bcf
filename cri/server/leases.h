// leases.h: keeps the images of containers on the disk, from before they exist.
#ifndef USETL_CRI_SERVER_LEASES_H_
#define USETL_CRI_SERVER_LEASES_H_

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cri/container/image_volume.h"
#include "cri/image/image_store.h"

namespace usetl::cri {

// Thread-safe.
class Leases {
 public:
  void Keep(const std::string& container, image::ImageLease lease) {
    const std::lock_guard lock(mutex_);
    leases_.insert_or_assign(container, std::move(lease));
  }
  // Of the images that it mounts.
  void KeepVolumes(const std::string& container, std::vector<image::ImageLease> leases) {
    if (leases.empty()) return;
    const std::lock_guard lock(mutex_);
    volumes_.insert_or_assign(container, std::move(leases));
  }
  void Drop(const std::string& container) {
    const std::lock_guard lock(mutex_);
    leases_.erase(container);
    volumes_.erase(container);
  }

  // The ids of the images that containers have leases of.
  std::set<std::string> ImageIds() {
    const std::lock_guard lock(mutex_);
    std::set<std::string> ids;
    for (const auto& [container, lease] : leases_) ids.insert(lease.image().id);
    return ids;
  }

  // What the container has a lease of, whether the store still lists it or not. ENOENT: none.
  Result<image::ImagePtr> ImageOf(const std::string& container) {
    const std::lock_guard lock(mutex_);
    const auto found = leases_.find(container);
    if (found != leases_.end()) return found->second.shared_image();
    return Status(ENOENT, "the image of the container was removed");
  }
  // The same of the images that it mounts; those that are gone are missing.
  VolumeImages VolumesOf(const std::string& container) {
    const std::lock_guard lock(mutex_);
    VolumeImages images;
    const auto found = volumes_.find(container);
    if (found == volumes_.end()) return images;
    for (const image::ImageLease& lease : found->second) {
      images.emplace(lease.image().id, lease.shared_image());
    }
    return images;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, image::ImageLease> leases_;
  std::map<std::string, std::vector<image::ImageLease>> volumes_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_LEASES_H_
