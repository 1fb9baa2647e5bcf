// image.h: the layers of a function's image, which come when the function is loaded, over the packs
// of the runtime, whose names may be nodes already.
#ifndef USETL_GUEST_KERNEL_FS_IMAGE_H_
#define USETL_GUEST_KERNEL_FS_IMAGE_H_

namespace usetl::kernel {

// Takes the image's packs into the tree, once they are there.
void RefreshImage();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_IMAGE_H_
