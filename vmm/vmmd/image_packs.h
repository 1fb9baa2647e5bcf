// image_packs.h: layers of a function's image, as a worker hands them over.
#ifndef USETL_VMM_VMMD_IMAGE_PACKS_H_
#define USETL_VMM_VMMD_IMAGE_PACKS_H_

#include <vector>

#include "vmm/pool/usf_handle.h"

namespace usetl {

// Takes only files that a worker cannot change and did not make for itself: root's, writable by
// nobody else, open for reading. That is no promise of what is in them or that it stays: a pod's
// root may make such a file on a hostPath. Neither counts outside of that pod's USF, where the
// guest reads them; this process looks at no byte. What images have was checked by whoever opened
// it for the worker (cri/container/image_packs.h). EPERM; E2BIG: more, or larger, than a USF takes.
Result<std::vector<ImagePack>> TakeImagePacks(std::vector<Fd> files);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_IMAGE_PACKS_H_
