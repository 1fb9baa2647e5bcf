// image_store.h: the images of a node: pulled from registries, imported from files, ready to run.
#ifndef USETL_CRI_IMAGE_IMAGE_STORE_H_
#define USETL_CRI_IMAGE_IMAGE_STORE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <string_view>
#include <vector>

#include "cri/image/config.h"
#include "cri/image/content_store.h"
#include "cri/image/image_catalog.h"
#include "cri/image/reference.h"

namespace usetl::image {

using OnProgress = std::function<void(const Progress&)>;

struct FsUsage {
  uint64_t bytes = 0;   // on the disk
  uint64_t inodes = 0;  // files and directories
  std::string mountpoint;
};

// An image in use: its packs stay until this goes, even when the image is removed meanwhile. What a
// removed image leaves then is collected the next time. Outlives its store without harm.
class ImageLease {
 public:
  ImageLease(ImagePtr image, ContentLease content)
      : image_(std::move(image)), content_(std::move(content)) {}
  const Image& image() const { return *image_; }
  const ImagePtr& shared_image() const { return image_; }

 private:
  ImagePtr image_;
  ContentLease content_;
};

// Thread-safe; several processes may have the same directory open. Codes of errors:
//   EINVAL malformed reference, ENOENT not found, EACCES unauthorised, EHOSTUNREACH, ECONNREFUSED
//   and ETIMEDOUT unavailable now, EBADMSG content that is not what it says or not supported,
//   ENOSPC no room, ECANCELED cancelled; others are of the operating system.
class ImageStore {
 public:
  // Makes the store when there is none. EBADMSG when it is damaged.
  static Result<std::unique_ptr<ImageStore>> Open(const std::string& directory,
                                                  const StoreConfig& config);

  // Makes nothing. One that may not be looked at is there: Open() says what is wrong with it.
  static bool IsThere(const std::string& directory);

  // Returns the image's id once it is whole on the disk, packs too. What is there is not fetched
  // again. May be called by many threads, for one image as well; `progress` may be empty.
  Result<std::string> Pull(std::string_view reference, const Auth& auth, const OnProgress& progress,
                           const Cancelled& cancelled);
  // `path`: a docker-save or OCI archive (compressed or not), or a directory with an OCI layout.
  // Returns the ids. `name` replaces the names that it carries, when it holds a single image.
  Result<std::vector<std::string>> Import(const std::string& path, std::string_view name,
                                          const OnProgress& progress, const Cancelled& cancelled);

  Result<std::shared_ptr<const ImageList>> List();
  // By tag, digest, id or the start of an id (ImageList::Find). ENOENT.
  Result<ImagePtr> Find(std::string_view reference);
  // Removes the image with all its names, whichever was given, and what only it had. One that is
  // not there is removed already.
  Status Remove(std::string_view reference);
  // ENOENT when it is not there (any more). Takes microseconds, unless packs have to be made anew
  // because those that are there are of another version of the program.
  Result<ImageLease> Lease(std::string_view reference);

  Result<FsUsage> FsInfo() const;
  Result<CollectReport> CollectGarbage() { return content_->CollectGarbage(); }

 private:
  ImageStore(std::unique_ptr<ContentStore> content, const StoreConfig& config,
             std::set<std::string> pinned);

  friend class PullJob;
  friend class ImportJob;
  // Gives the image `manifest` these names (none: an entry without), which others lose.
  Status AddNames(const Descriptor& manifest, const std::vector<std::string>& names);
  // PackLayer(), at most config.parallel_unpacks at a time.
  Status Pack(const std::string& layer_digest, const std::string& diff_id,
              const Cancelled& cancelled);

  const std::unique_ptr<ContentStore> content_;
  const StoreConfig config_;
  ImageCatalog catalog_;
  std::counting_semaphore<> unpacks_;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_IMAGE_STORE_H_
