// area.h: the sorted list of areas of zone C.
#ifndef USETL_GUEST_KERNEL_MEMORY_AREA_H_
#define USETL_GUEST_KERNEL_MEMORY_AREA_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

struct Area {
  uint64_t begin;
  uint64_t end;
  uint64_t source;        // address of the content of `begin`; 0: zeros
  uint64_t source_bytes;  // content from `begin` on; zeros up to the end of its page, then SIGBUS
  uint64_t file_offset;   // of `begin`
  File* file;             // a reference, and pinned; null for anonymous
  uint32_t protection;
  bool shared;
  bool populated;  // every page (up to source_bytes, when there is a source) is present
  bool framed;     // populated with frames of its own, not with pages of the source
  bool stack;      // of a thread: most of it is never touched

  uint64_t size() const { return end - begin; }
};

class AreaList {
 public:
  // The first area that ends after `address`; end() when there is none.
  uint32_t Find(uint64_t address) const;
  Area& operator[](uint32_t index) { return areas_[index]; }
  uint32_t end() const { return count_; }

  // Takes over the reference in `area`, which is pinned. False: out of memory.
  bool Insert(const Area& area);
  void Remove(uint32_t index);  // drops the reference
  // Cuts the area at `address`, which lies inside it. False: out of memory.
  bool Split(uint32_t index, uint64_t address);
  // Makes [begin, end) start and end on area borders. False: out of memory.
  bool Isolate(uint64_t begin, uint64_t end);

 private:
  bool Reserve();

  Area* areas_ = nullptr;
  uint32_t count_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_AREA_H_
