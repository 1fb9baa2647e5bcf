// bake_source.h: what a runtime is to be made of.
#ifndef USETL_VMM_POOL_BAKE_SOURCE_H_
#define USETL_VMM_POOL_BAKE_SOURCE_H_

#include <string>

#include "vmm/base/status.h"

namespace usetl {

enum class BakeSource {
  kRootFileSystem,  // a directory, or a tar archive of one
  kImageFile,       // a directory with an OCI layout; a docker-save or OCI archive
  kImageName,       // no file of this machine: an image of a store
};

// Tells by what stands at the top of it. Whether it is whole is left to who reads it.
Result<BakeSource> FindOutSource(const std::string& source);

}  // namespace usetl

#endif  // USETL_VMM_POOL_BAKE_SOURCE_H_
