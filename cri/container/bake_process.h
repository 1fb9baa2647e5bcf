// bake_process.h: runs usetl-bake for an image, in a process of its own.
#ifndef USETL_CRI_CONTAINER_BAKE_PROCESS_H_
#define USETL_CRI_CONTAINER_BAKE_PROCESS_H_

#include <string>

#include "cri/image/image_catalog.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Makes the runtime `name` in `directory`, which is in the file system of the image's packs. When
// `stop` (an eventfd) becomes readable the process is killed: ECANCELED. ECHILD: the image's Python
// did not start; one line says why.
// REQUIRES: the calling thread lives until this returns, for the process ends with it.
Status BakeImage(const image::Image& image, const std::string& directory, const std::string& name,
                 int stop);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_BAKE_PROCESS_H_
