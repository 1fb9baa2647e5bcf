// guest_region_view.h: the worker's look at the guest region.
//
// The guest writes all of it at any time, while we read too: offsets are checked, entries are
// copied before they are looked at, and content may change under the reader. Whoever needs stable
// bytes copies them once.
#ifndef USETL_VMM_PROXY_REGION_GUEST_REGION_VIEW_H_
#define USETL_VMM_PROXY_REGION_GUEST_REGION_VIEW_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/abi/file_table.h"
#include "vmm/base/status.h"

namespace usetl {

// Owns nothing; the mapping must outlive it. Single-threaded.
class GuestRegionView {
 public:
  GuestRegionView(const uint8_t* base, uint64_t size) : base_(base), size_(size) {}

  // The bytes [offset, offset + size) of the region. ERANGE when they are not all inside.
  Result<std::span<const uint8_t>> Span(uint64_t offset, uint64_t size) const;

  // The content of the regular file at `path` (absolute). ENOENT: none; EPROTO: the table is
  // broken; EAGAIN: the guest kept changing the entry.
  Result<std::span<const uint8_t>> FindFile(std::string_view path) const;

  uint64_t size() const { return size_; }

 private:
  // False: the entry did not hold still.
  bool CopyEntry(const abi::FileEntry* from, abi::FileEntry* entry) const;

  const uint8_t* base_;
  uint64_t size_;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_REGION_GUEST_REGION_VIEW_H_
