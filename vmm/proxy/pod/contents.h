// contents.h: the files that usetld brings for a container beside its image, copied into the host
// region, which bounds size and number.
#ifndef USETL_VMM_PROXY_POD_CONTENTS_H_
#define USETL_VMM_PROXY_POD_CONTENTS_H_

#include <map>
#include <string>
#include <string_view>

#include "vmm/abi/file_table.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/start_request.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::pod {

class Contents {
 public:
  // `request` must outlive Publish().
  Status AddFiles(const StartRequest& request);

  // Copies everything into the region. ENOSPC says how much there is and how much fits: a quarter
  // of the region and some entries of its table are left for bodies of HTTP.
  Status Publish(HostRegion* region) const;
  // Makes what is below `mount` in the region as it is here. New files come before the links that
  // lead to them, and those before old files go, as the kubelet does it: at no time is there half
  // of it. Regular files that are there stay: their names never get other contents.
  Status Update(std::string_view mount, HostRegion* region) const;

 private:
  struct Item {
    abi::FileType type;
    uint16_t mode = 0;
    std::string_view target = {};  // of a link
    int file = -1;                 // of a regular file: where its content is
    uint64_t offset = 0, size = 0;
    uint32_t mount = 0;  // as abi::FileEntry has it
  };
  // By path without its leading '/'; sorted, so that a directory is followed by what is in it.
  using Items = std::map<std::string, Item, std::less<>>;

  Status AddFile(std::string_view path, Item item);
  void EraseBelow(std::string_view path);
  bool BelowLink(std::string_view path) const;
  Status CheckRoom(const HostRegion& region) const;
  static Status PublishOne(const std::string& path, const Item& item, HostRegion* region);

  Items items_;
};

// The files of a mount have changed: see Contents::Update.
Status UpdateMount(const StartRequest& request, HostRegion* region);

// Puts the files of `request` into the region.
Status PublishContents(const StartRequest& request, HostRegion* region);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_CONTENTS_H_
