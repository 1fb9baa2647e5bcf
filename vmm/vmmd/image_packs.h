// image_packs.h: layers of a function's image, as a worker hands them over.
#ifndef USETL_VMM_VMMD_IMAGE_PACKS_H_
#define USETL_VMM_VMMD_IMAGE_PACKS_H_

#include <vector>

#include "vmm/pool/usf_handle.h"

namespace usetl {

// Takes only files that no worker can have made or can change: root's, writable by nobody else,
// open for reading. What is in them counts in the USF alone; it was checked by whoever opened them
// for the worker (cri/container/image_packs.h). EPERM; E2BIG: more, or larger, than a USF takes.
Result<std::vector<ImagePack>> TakeImagePacks(std::vector<Fd> files);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_IMAGE_PACKS_H_
