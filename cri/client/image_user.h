// image_user.h: whom a container runs as when its manifest leaves that to the image.
#ifndef USETL_CRI_CLIENT_IMAGE_USER_H_
#define USETL_CRI_CLIENT_IMAGE_USER_H_

#include "cri/client/manifest.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// EPERM: runAsNonRoot, and the image's user is root, or a name that may be root's. Else the image's
// user is beside runAsGroup.
Status ApplyImageUser(const v1::Image& image, PodManifest::Container* container);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_IMAGE_USER_H_
