// image_bake.h: what `usetl bake` does with an image: its layers become packs, and those a runtime.
#ifndef USETL_CRI_IMAGE_IMAGE_BAKE_H_
#define USETL_CRI_IMAGE_IMAGE_BAKE_H_

#include <string>

#include "cri/image/image_store.h"

namespace usetl::image {

struct BakeOrder {
  std::string image;     // its name in the store
  std::string file;      // in its place: an archive, or a directory with an OCI layout
  std::string runtimes;  // directory
  std::string runtime;   // name
  std::string trace;     // of usetl-bake
};

// Runs usetl-bake on the packs of an image of the store, which it keeps meanwhile. Returns the exit
// status of usetl-bake, which has said what went wrong; ECANCELED. A signal has to interrupt the
// wait for `cancelled` to be looked at.
Result<int> BakeFromStore(ImageStore* store, const BakeOrder& order, const Cancelled& cancelled);

// The same with an image of a file, which gets into no store: what it is unpacked to lies beside
// the runtime and goes afterwards.
Result<int> BakeFromFile(const StoreConfig& config, const BakeOrder& order,
                         const Cancelled& cancelled);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_IMAGE_BAKE_H_
