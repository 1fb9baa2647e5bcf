// address_space.h: carries out the guest's mapping requests under the host's rules.
//
// Every request is hostile: ranges are copied, bounded, checked. The rules: zones A and C only,
// never write and execute together, never write to a pack or the host region, one mapping per
// frame.
#ifndef USETL_VMM_USF_ADDRESS_SPACE_H_
#define USETL_VMM_USF_ADDRESS_SPACE_H_

#include <cstdint>
#include <vector>

#include "vmm/usf/guest_memory.h"
#include "vmm/usf/page_tables.h"

namespace usetl {

// What an address space is besides the tables themselves; stored in snapshots.
struct AddressSpaceState {
  uint64_t root = 0;
  uint64_t tables_used = 0;  // arena bytes
  uint64_t frames_used = 0;  // bytes from abi::kFrames.base handed out
};

class AddressSpace {
 public:
  AddressSpace(GuestMemory* memory, Machine* machine, const AddressSpaceState& state);

  // The mappings that every USF has: tables, control, RAM, regions, packs. `text_*` bound the
  // executable part of the kernel image, `data` is its first writable page.
  Status MapFixedZones(uint64_t text_begin, uint64_t text_end, uint64_t data);

  // Maps what the regions of this USF have beyond those of the bake. REQUIRES: the VM has not run.
  Status ExtendRegions();

  // One batch from GuestPage::call, copied by the caller. 0 or -errno for the guest; `switched` is
  // set when CR3 must be loaded with root().
  int Apply(const std::vector<abi::RangeRequest>& requests, bool* switched);

  // Raises RAM to `size` bytes and maps it. 0 or -errno.
  int GrowRam(uint64_t size);

  uint64_t root() const { return tables_.root(); }
  AddressSpaceState state() const { return {tables_.root(), tables_.used(), frames_used_}; }
  // Back to the snapshot: its root, its frames. Its tables stay for good.
  Status Reset(const AddressSpaceState& snapshot);
  // Frames of the snapshot that the host itself overwrote: the dirty log does not know them.
  const std::vector<uint64_t>& host_written() const { return host_written_; }
  // Rewrites the tables densely into an arena image for a snapshot; `state` describes it.
  Status Compact(std::vector<uint8_t>* arena, AddressSpaceState* state) const;

 private:
  int ApplyOne(const abi::RangeRequest& request);
  int MapAnonymous(const abi::RangeRequest& request, uint64_t flags);
  int MapShared(const abi::RangeRequest& request, uint64_t flags);
  int Unmap(const abi::RangeRequest& request);
  Status RecycleTables();
  // Room in the arena for whatever maps so many bytes. 0 or -errno.
  int MakeRoom(uint64_t length);
  // Of a mapping that came no further than to `end`: all or nothing. -errno.
  int TakeBack(uint64_t begin, uint64_t end);
  // A zeroed frame, or 0.
  uint64_t TakeFrame();

  GuestMemory* memory_;
  Machine* machine_;
  PageTables tables_;
  uint64_t kept_tables_ = 0;  // arena bytes of the snapshot
  uint64_t ram_mapped_;       // bytes
  uint64_t frames_used_;
  std::vector<uint64_t> free_frames_;  // must be zeroed when taken
  std::vector<uint64_t> host_written_;
  std::vector<bool> is_host_written_;  // by page; of the frames at birth, which a rollback mends
};

}  // namespace usetl

#endif  // USETL_VMM_USF_ADDRESS_SPACE_H_
