// image_views.h: images of the store as the messages that clients see.
#ifndef USETL_CRI_SERVER_IMAGE_VIEWS_H_
#define USETL_CRI_SERVER_IMAGE_VIEWS_H_

#include "cri/image/image_store.h"
#include "runtime.pb.h"

namespace usetl::cri {

::runtime::v1::Image ViewOf(const image::Image& image);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_IMAGE_VIEWS_H_
