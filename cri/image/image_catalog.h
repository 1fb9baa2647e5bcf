// image_catalog.h: the images of a store, in memory for as long as index.json does not change.
#ifndef USETL_CRI_IMAGE_IMAGE_CATALOG_H_
#define USETL_CRI_IMAGE_IMAGE_CATALOG_H_

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cri/image/content_store.h"

namespace usetl::image {

struct Image {
  std::string id;                         // digest of the config: "sha256:..."
  std::vector<std::string> repo_tags;     // "docker.io/library/busybox:1.36", sorted
  std::vector<std::string> repo_digests;  // "docker.io/library/busybox@sha256:...", sorted
  std::vector<std::string> manifests;     // digests; several name one config rarely
  uint64_t size = 0;                      // manifest, config and layers as they came; never 0
  ImageConfig config;
  std::vector<std::string> layers;  // digests, lowest first
  std::vector<std::string> packs;   // paths, lowest first
  std::string chain_id;             // empty without layers
  bool pinned = false;

  // Everything that must stay while the image is used.
  std::vector<std::string> Digests() const;
};

using ImagePtr = std::shared_ptr<const Image>;

struct ImageList {
  std::vector<ImagePtr> images;       // by id
  std::vector<std::string> problems;  // entries of the index whose documents are damaged

  // By name, id (with or without "sha256:") or the first 6 or more digits of one. ENOENT; EINVAL
  // when several ids begin so.
  Result<ImagePtr> Find(std::string_view reference) const;
};

// Thread-safe.
class ImageCatalog {
 public:
  // `store` must outlive this. `pinned`: Reference::Text() of images.
  ImageCatalog(const ContentStore& store, std::set<std::string> pinned)
      : store_(store), pinned_(std::move(pinned)) {}

  // What the index says now, whoever changed it.
  Result<std::shared_ptr<const ImageList>> Current();

 private:
  Result<Image> Load(const Descriptor& manifest) const;
  Result<std::shared_ptr<const ImageList>> Build();

  const ContentStore& store_;
  const std::set<std::string> pinned_;
  std::mutex mutex_;
  Fd index_;  // what list_ was made of; none: it is to be read anew
  std::shared_ptr<const ImageList> list_;
  std::map<std::string, Image> loaded_;  // by manifest, without names
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_IMAGE_CATALOG_H_
