// layer_pack.h: layers of the store become packs.
#ifndef USETL_CRI_IMAGE_LAYER_PACK_H_
#define USETL_CRI_IMAGE_LAYER_PACK_H_

#include <string>

#include "cri/image/config.h"
#include "cri/image/content_store.h"

namespace usetl::image {

// Whether the layer has a pack that this version of the program reads. A glance at its head, no
// check.
bool HasPack(const ContentStore& store, const std::string& layer_digest);

// Makes the pack of a layer whose blob is in the store, unless it is there already. EBADMSG when
// the layer is malformed, exceeds a limit of `config`, or its plain tar is not `diff_id`.
Status PackLayer(const ContentStore& store, const StoreConfig& config,
                 const std::string& layer_digest, const std::string& diff_id,
                 const Cancelled& cancelled);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_LAYER_PACK_H_
