// host_region.h: the producer of the host region: files of the function and bodies of responses.
//
// Single-threaded. The guest can read all of it and changes nothing.
#ifndef USETL_VMM_PROXY_REGION_HOST_REGION_H_
#define USETL_VMM_PROXY_REGION_HOST_REGION_H_

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/abi/file_table.h"
#include "vmm/base/status.h"

namespace usetl {

class HostRegion {
 public:
  // `base` is the whole region, writable. `huge`: made of 2 MB pages, so large bodies start on one.
  HostRegion(uint8_t* base, uint64_t size, bool huge);

  // Writes the table's header. REQUIRES: the region is zero.
  void Format();

  // A named file; `path` is absolute. ENOSPC when the region or the table is full.
  Status AddFile(std::string_view path, std::span<const uint8_t> content, uint16_t mode);

  // A growing range for a body. Moves when it must; nothing else moves.
  struct Body {
    uint64_t offset = 0;
    uint64_t capacity = 0;
    uint64_t size = 0;
  };
  Status Reserve(Body* body, uint64_t size);  // capacity for at least `size` bytes
  uint8_t* At(const Body& body) { return base_ + body.offset; }
  void Discard(Body* body);
  // Makes it a nameless entry for the guest; its number. The range is the entry's from now on.
  Result<uint32_t> Publish(const Body& body);
  // The guest has dropped it. Numbers are hostile: only live nameless entries count.
  void Release(uint32_t entry);

  uint64_t free_bytes() const { return free_bytes_; }

 private:
  uint64_t Allocate(uint64_t bytes, uint64_t align);  // 0: no room
  bool Extend(uint64_t offset, uint64_t bytes, uint64_t more);
  void Free(uint64_t offset, uint64_t bytes);
  int64_t FreeSlot() const;
  void Write(uint32_t slot, abi::FileEntry entry);

  abi::FileTable& table() { return *reinterpret_cast<abi::FileTable*>(base_); }

  uint8_t* base_;
  uint64_t size_;
  bool huge_;
  uint64_t free_bytes_ = 0;
  std::map<uint64_t, uint64_t> free_;  // begin -> end, coalesced
  std::vector<abi::FileEntry> entries_;  // what was published, by slot
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_REGION_HOST_REGION_H_
