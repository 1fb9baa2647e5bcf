// mount_writer.h: makes a function's changes below writable mounts on the host.
//
// Paths come from the guest: they are checked, then resolved by the kernel with openat2: no path
// leaves its mount, no symbolic link is followed. Calls block as the host's file system does.
#ifndef USETL_VMM_PROXY_POD_MOUNT_WRITER_H_
#define USETL_VMM_PROXY_POD_MOUNT_WRITER_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/abi/mail.h"
#include "vmm/base/fd.h"
#include "vmm/proxy/region/guest_region_view.h"

namespace usetl::pod {

// A kMountChange taken apart; the texts point into the payload.
struct MountOrder {
  abi::MountChange change;
  std::string_view path, text;
};
// EPROTO: sizes that do not match.
Result<MountOrder> ReadMountChange(std::span<const uint8_t> payload);

struct Written {
  uint64_t bytes;
  int error;  // why not all of them; 0: all
};
// kWrite of an open file.
Written WriteMounted(int file, const abi::MountChange& change, const GuestRegionView& region);
// kTruncate, kMode and kTimes of one: 0 or an errno.
int TruncateMounted(int file, const abi::MountChange& change);
int ChangeModeMounted(int file, const abi::MountChange& change);
int ChangeTimesMounted(int file, const abi::MountChange& change);

// Changes names below directories, and files that are mounts of their own.
class MountWriter {
 public:
  // `roots`: mount `first` and those behind it, directories or regular files open for writing.
  // `region` has what is written and must outlive this.
  MountWriter(std::vector<Fd> roots, uint32_t first, const GuestRegionView* region)
      : roots_(std::move(roots)), first_(first), region_(region) {}

  bool Has(uint32_t mount) const { return mount - first_ < roots_.size(); }
  // REQUIRES: Has(mount).
  int root(uint32_t mount) const { return roots_[mount - first_].get(); }

  // 0 or an errno for the function: EINVAL for what no kernel would send.
  int Apply(const MountOrder& order) const;

 private:
  int ApplyToFile(int file, const abi::MountChange& change) const;
  int ApplyToDirectory(int root, const MountOrder& order) const;

  std::vector<Fd> roots_;
  uint32_t first_;
  const GuestRegionView* region_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_WRITER_H_
