// image_packs.h: the layers of thin images, opened for the USFs that map them.
#ifndef USETL_CRI_CONTAINER_IMAGE_PACKS_H_
#define USETL_CRI_CONTAINER_IMAGE_PACKS_H_

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cri/image/image_store.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Guests read packs without another look, so each is checked here (pack::AdoptPack), and not again
// while the file is the same. Thread-safe.
class ImagePacks {
 public:
  // Lowest layer first. EBADMSG or EINVAL: one is damaged. E2BIG: more than a USF takes; their size
  // is looked at where they are mapped.
  Result<std::vector<Fd>> Open(const image::Image& image);

 private:
  struct Identity {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified_s = 0, modified_ns = 0, changed_s = 0, changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  static Result<Identity> Identify(const Fd& file, const std::string& path);
  Status Check(const Fd& file, const std::string& path);

  std::mutex mutex_;
  std::map<std::string, Identity> checked_;  // by path
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_IMAGE_PACKS_H_
