#include "guest/kernel/memory/area.h"

#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {

uint32_t AreaList::Find(uint64_t address) const {
  uint32_t low = 0, high = count_;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (areas_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool AreaList::Reserve() {
  if (count_ < capacity_) return true;
  const uint32_t capacity = capacity_ == 0 ? 64 : capacity_ * 2;
  auto* areas = static_cast<Area*>(Allocate(capacity * sizeof(Area)));
  if (areas == nullptr) return false;
  if (count_ != 0) memcpy(areas, areas_, count_ * sizeof(Area));
  Free(areas_);
  areas_ = areas;
  capacity_ = capacity;
  return true;
}

bool AreaList::Insert(const Area& area) {
  if (!Reserve()) return false;
  const uint32_t at = Find(area.begin);
  memmove(&areas_[at + 1], &areas_[at], (count_ - at) * sizeof(Area));
  areas_[at] = area;
  ++count_;
  return true;
}

void AreaList::Remove(uint32_t index) {
  File* file = areas_[index].file;
  memmove(&areas_[index], &areas_[index + 1], (count_ - index - 1) * sizeof(Area));
  --count_;
  if (file != nullptr) {
    file->Unpin();
    file->Unref();
  }
}

bool AreaList::Split(uint32_t index, uint64_t address) {
  if (!Reserve()) return false;
  Area tail = areas_[index];
  const uint64_t cut = address - tail.begin;
  tail.begin = address;
  tail.file_offset += cut;
  if (tail.source != 0) {
    tail.source += cut;
    tail.source_bytes = tail.source_bytes > cut ? tail.source_bytes - cut : 0;
  }
  areas_[index].end = address;
  if (areas_[index].source_bytes > cut) areas_[index].source_bytes = cut;
  if (tail.file != nullptr) {
    tail.file->Ref();
    tail.file->Pin();
  }
  memmove(&areas_[index + 2], &areas_[index + 1], (count_ - index - 1) * sizeof(Area));
  areas_[index + 1] = tail;
  ++count_;
  return true;
}

bool AreaList::Isolate(uint64_t begin, uint64_t end) {
  for (const uint64_t border : {begin, end}) {
    const uint32_t index = Find(border);
    if (index == count_ || areas_[index].begin >= border) continue;
    if (!Split(index, border)) return false;
  }
  return true;
}

}  // namespace usetl::kernel
