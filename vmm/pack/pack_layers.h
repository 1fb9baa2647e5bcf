// pack_layers.h: the file system of an image as its layers make it, for looking up names.
#ifndef USETL_VMM_PACK_PACK_LAYERS_H_
#define USETL_VMM_PACK_PACK_LAYERS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/pack/pack_reader.h"

namespace usetl::pack {

class PackLayers {
 public:
  // Opens and checks the packs at `paths`, lowest layer first.
  static Result<PackLayers> Open(const std::vector<std::string>& paths);
  explicit PackLayers(std::vector<Pack> packs) : packs_(std::move(packs)) {}

  struct File {
    std::string path;  // without links
    const Pack* pack;
    const abi::PackEntry* entry;
  };
  // What is at the absolute `path`, links followed as within the image. ENOENT, ENOTDIR; ELOOP for
  // links without end, ENAMETOOLONG for a way that is longer than any in earnest. The file refers
  // to this.
  Result<File> Resolve(std::string_view path) const;

  const std::vector<Pack>& packs() const { return packs_; }

 private:
  // One name in all layers that have it, highest first; more than one for directories only.
  struct Found {
    std::string name;
    std::vector<std::pair<const Pack*, const abi::PackEntry*>> places;
  };
  Found Root() const;
  static Found Child(const Found& directory, std::string_view name);

  std::vector<Pack> packs_;
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_PACK_LAYERS_H_
