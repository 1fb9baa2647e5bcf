// image_volume.h: images whose files a container mounts.
#ifndef USETL_CRI_CONTAINER_IMAGE_VOLUME_H_
#define USETL_CRI_CONTAINER_IMAGE_VOLUME_H_

#include <map>
#include <string>
#include <vector>

#include "cri/image/image_store.h"
#include "runtime.pb.h"
#include "vmm/base/status.h"
#include "vmm/pack/merged_tree.h"
#include "vmm/pack/pack_layers.h"

namespace usetl::cri {

// Images of a container's volumes, by id.
using VolumeImages = std::map<std::string, image::ImagePtr>;

inline bool IsImageVolume(const ::runtime::v1::Mount& mount) {
  return mount.has_image() && !mount.image().image().empty();
}

// The files of an image, mapped.
class ImageVolume {
 public:
  // From `sub_path` on, relative; empty: all. Errors as of FindBelow, and of the image's packs.
  static Result<ImageVolume> Open(const image::Image& image, const std::string& sub_path);

  // What is mounted: a directory or a file.
  const pack::MergedEntry& top() const { return top_; }

 private:
  ImageVolume(pack::PackLayers layers, pack::MergedEntry top)
      : layers_(std::move(layers)), top_(std::move(top)) {}

  pack::PackLayers layers_;  // `top_` points into it
  pack::MergedEntry top_;
};

// Leases the images of all volumes of `config`, writes their ids into it (Mount.image.image_ref)
// and looks whether they have what is mounted. ENOENT: image or sub path is missing.
Result<std::vector<image::ImageLease>> LeaseImageVolumes(image::ImageStore* images,
                                                         ::runtime::v1::ContainerConfig* config);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_IMAGE_VOLUME_H_
