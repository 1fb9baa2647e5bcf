// contents.h: what a container finds in its file system beyond the runtime's own: the layers of its
// image and the files that usetld brings.
//
// For now all of it is copied into the host region, which bounds size and number. Packs will be
// mapped into the USF instead.
#ifndef USETL_VMM_PROXY_POD_CONTENTS_H_
#define USETL_VMM_PROXY_POD_CONTENTS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/abi/pack.h"
#include "vmm/base/status.h"
#include "vmm/pack/pack_reader.h"
#include "vmm/proxy/pod/start_request.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::pod {

class Contents {
 public:
  // Lays a checked layer over what is there, by the rules of image layers. Contents stay in
  // `pack`, which must outlive Publish().
  Status AddLayer(const pack::Pack& pack);
  // Lays usetld's files over all layers. `request` must outlive Publish().
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
    std::string_view bytes;  // content of a layer's file, target of a link
    int file = -1;           // or a part of a file
    uint64_t offset = 0, size = 0;
    uint32_t mount = 0;   // as abi::FileEntry has it
    bool listed = false;  // a directory that may have to go some day: one of usetld's
  };
  // By path without its leading '/'; sorted, so that a directory is followed by what is in it.
  using Items = std::map<std::string, Item, std::less<>>;

  Status AddDirectory(const pack::Pack& pack, const abi::PackEntry& directory,
                      const std::string& path);
  void Add(const std::string& path, Item item);
  Status AddFile(std::string_view path, Item item);
  void EraseBelow(std::string_view path);
  bool BelowLink(std::string_view path) const;
  bool HasChildren(Items::const_iterator directory) const;
  // The guest makes plain directories on its own.
  bool Needed(Items::const_iterator item) const;
  Status CheckRoom(const HostRegion& region) const;
  static Status PublishOne(const std::string& path, const Item& item, HostRegion* region);

  Items items_;
};

// The files of a mount have changed: see Contents::Update.
Status UpdateMount(const StartRequest& request, HostRegion* region);

// Opens the layers of `request`, puts them and its files into the region.
Status PublishContents(StartRequest* request, HostRegion* region);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_CONTENTS_H_
