#include "vmm/proxy/region/free_map.h"

namespace usetl {

void FreeMap::Reset(uint64_t begin, uint64_t end) {
  ranges_.clear();
  free_ = end > begin ? end - begin : 0;
  if (free_ != 0) ranges_[begin] = end;
}

void FreeMap::Cut(Ranges::iterator range, uint64_t begin, uint64_t end) {
  const uint64_t range_begin = range->first;
  const uint64_t range_end = range->second;
  if (range_begin == begin) {
    ranges_.erase(range);
  } else {
    range->second = begin;
  }
  if (end != range_end) ranges_[end] = range_end;
  free_ -= end - begin;
}

std::optional<uint64_t> FreeMap::Take(uint64_t size, uint64_t align) {
  for (auto it = ranges_.begin(); it != ranges_.end(); ++it) {
    const uint64_t begin = (it->first + align - 1) / align * align;
    if (begin > it->second || it->second - begin < size) continue;
    Cut(it, begin, begin + size);
    return begin;
  }
  return std::nullopt;
}

uint64_t FreeMap::RoomAt(uint64_t begin) const {
  const auto it = ranges_.find(begin);
  return it == ranges_.end() ? 0 : it->second - begin;
}

bool FreeMap::TakeAt(uint64_t begin, uint64_t size) {
  const auto it = ranges_.find(begin);
  if (it == ranges_.end() || it->second - begin < size) return false;
  if (size != 0) Cut(it, begin, begin + size);
  return true;
}

void FreeMap::Give(uint64_t begin, uint64_t size) {
  if (size == 0) return;
  free_ += size;
  uint64_t end = begin + size;
  const auto after = ranges_.lower_bound(begin);
  if (after != ranges_.end() && after->first == end) end = after->second;
  if (after != ranges_.begin()) {
    const auto before = std::prev(after);
    if (before->second == begin) {
      before->second = end;
      if (after != ranges_.end() && after->second == end) ranges_.erase(after);
      return;
    }
  }
  if (after != ranges_.end() && after->second == end) ranges_.erase(after);
  ranges_[begin] = end;
}

}  // namespace usetl
