// pack.h: a pack, one image layer as a mappable read-only tree.
//
//   [PackHeader][PackEntry x entry_count][names][page-aligned contents]
//
// Entry 0 is the root directory. The children of a directory are consecutive entries, sorted by
// name (bytes, unsigned), so that a lookup is a binary search and a listing is a walk.
#ifndef USETL_VMM_ABI_PACK_H_
#define USETL_VMM_ABI_PACK_H_

#include "vmm/abi/layout.h"

namespace usetl::abi {

inline constexpr uint64_t kPackMagic = 0x314b'4341'504c'5455;  // "UTLPACK1"

enum class PackType : uint16_t {
  kRegular = 1,
  kDirectory = 2,
  kSymlink = 3,
  kWhiteout = 4,         // hides the name in lower packs
  kOpaqueDirectory = 5,  // a directory that hides what lower packs have in it
};

struct PackEntry {
  uint64_t name_offset;  // from the start of the pack; the last component, no '/'
  uint32_t name_size;
  PackType type;
  uint16_t mode;  // permission bits with setuid, setgid and sticky
  uint32_t uid;
  uint32_t gid;
  uint64_t size;    // regular: bytes; symlink: bytes of the target; directory: children
  uint64_t offset;  // regular: page-aligned content; symlink: target; directory: first child
  uint64_t modified_ns;
  uint32_t parent;     // entry of the directory that holds this one; the root is its own
  uint32_t hard_link;  // entry that this one is a link to (same content), or its own number
};
static_assert(sizeof(PackEntry) == 56);

struct PackHeader {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t entry_count;
  uint64_t size;  // of the whole pack, a 4 kB multiple
  uint64_t names_offset;
  uint64_t names_size;
  uint64_t data_offset;      // first content
  uint32_t rewritten_sites;  // system call sites rewritten in all its files
  uint32_t reserved;
  uint8_t digest[32];  // SHA-256 of everything after the header
};
static_assert(sizeof(PackHeader) == 88);

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_PACK_H_
