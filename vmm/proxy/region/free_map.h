// free_map.h: the free space of a region: coalesced ranges, first fit.
#ifndef USETL_VMM_PROXY_REGION_FREE_MAP_H_
#define USETL_VMM_PROXY_REGION_FREE_MAP_H_

#include <cstdint>
#include <map>
#include <optional>

namespace usetl {

// Single-threaded. Ranges are [begin, begin + size), in the caller's unit.
class FreeMap {
 public:
  // Forgets everything; [begin, end) is free.
  void Reset(uint64_t begin, uint64_t end);

  // The lowest free range of `size` > 0 whose begin is a multiple of `align`.
  std::optional<uint64_t> Take(uint64_t size, uint64_t align);
  // Takes exactly [begin, begin + size) if all of it is free.
  bool TakeAt(uint64_t begin, uint64_t size);
  // Gives a range back. REQUIRES: it is taken.
  void Give(uint64_t begin, uint64_t size);

  uint64_t free() const { return free_; }
  // Bytes free from `begin` on without a gap.
  uint64_t RoomAt(uint64_t begin) const;

 private:
  using Ranges = std::map<uint64_t, uint64_t>;  // begin -> end; no two touch
  void Cut(Ranges::iterator range, uint64_t begin, uint64_t end);

  Ranges ranges_;
  uint64_t free_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_REGION_FREE_MAP_H_
