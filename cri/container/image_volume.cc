#include "cri/container/image_volume.h"

namespace usetl::cri {
namespace {

namespace v1 = ::runtime::v1;

// What the interface calls these errors.
constexpr char kMountFailed[] = "ImageVolumeMountFailed";

Result<image::ImageLease> LeaseOne(image::ImageStore* images, v1::Mount* mount) {
  Result<image::ImageLease> lease = images->Lease(mount->image().image());
  if (!lease.ok()) return lease;
  const Result<ImageVolume> volume = ImageVolume::Open(lease->image(), mount->image_sub_path());
  if (!volume.ok()) return volume.status();
  mount->mutable_image()->set_image_ref(lease->image().id);
  return lease;
}

}  // namespace

Result<ImageVolume> ImageVolume::Open(const image::Image& image, const std::string& sub_path) {
  Result<pack::PackLayers> layers = pack::PackLayers::Open(image.packs);
  if (!layers.ok()) return layers.status();
  Result<pack::MergedEntry> top = FindBelow(pack::MergedEntry::Root(layers->packs()), sub_path);
  if (!top.ok()) return top.status();
  return ImageVolume(std::move(*layers), std::move(*top));
}

Result<std::vector<image::ImageLease>> LeaseImageVolumes(image::ImageStore* images,
                                                         v1::ContainerConfig* config) {
  std::vector<image::ImageLease> leases;
  for (v1::Mount& mount : *config->mutable_mounts()) {
    if (!IsImageVolume(mount)) continue;
    Result<image::ImageLease> lease = LeaseOne(images, &mount);
    if (!lease.ok()) {
      return lease.status().Annotate("mount " + mount.container_path()).Annotate(kMountFailed);
    }
    leases.push_back(std::move(*lease));
  }
  return leases;
}

}  // namespace usetl::cri
