// file_table.h: the offset table at the start of the host region and of the guest region.
//
// A region is [table][names and file data]. The producer owns every byte; the consumer copies an
// entry, checks it with CheckEntry, then uses the copy. An entry is published by its state.
#ifndef USETL_VMM_ABI_FILE_TABLE_H_
#define USETL_VMM_ABI_FILE_TABLE_H_

#include "vmm/abi/layout.h"

namespace usetl::abi {

inline constexpr uint64_t kFileTableMagic = 0x314c'4254'4c54'4553;  // "SETLTBL1"
inline constexpr uint32_t kMaxName = 4095;                          // of a path, no zero
inline constexpr uint32_t kMaxHostName = 512;                       // of one in the host region
inline constexpr uint32_t kMaxEntries = 16384;

enum class FileType : uint16_t { kNone = 0, kRegular = 1, kDirectory = 2, kSymlink = 3 };

struct FileEntry {
  uint64_t sequence;  // even: stable; odd: being changed; +2 per change
  FileType type;      // kNone: free slot
  uint16_t mode;      // permission bits
  uint32_t flags;     // FileFlag
  uint32_t uid;
  uint32_t gid;
  uint64_t size;         // bytes of content (of the target for a symlink)
  uint64_t offset;       // of the content, page aligned, from the start of the region
  uint64_t capacity;     // bytes reserved at `offset`, a page multiple
  uint64_t modified_ns;  // CLOCK_REALTIME
  uint64_t name_offset;  // absolute path without the leading '/' ("/": the root)
  uint32_t name_size;    // 0: content without a name (a response body)
  uint32_t mount;        // host region: what is mounted here, see below; 0: nothing
};
static_assert(sizeof(FileEntry) == 72);

// Of FileEntry::mount. Otherwise 1 + the mount's number in MountChange, a directory's with this bit
// when it is read-only. What is below such a directory is not in the table: the guest asks for it.
inline constexpr uint32_t kReadOnlyMount = ~0u;
inline constexpr uint32_t kReadOnlyBit = 0x100;
inline constexpr uint32_t kMaxMounts = 30;  // with numbers

enum FileFlag : uint32_t {
  kFileReleased = 1,  // the guest has given it back; the host may reuse the slot
};

struct FileTable {
  uint64_t magic;
  uint64_t region_size;
  uint64_t generation;  // +1 after each batch of changes
  uint32_t capacity;    // entries
  uint32_t used;        // slots ever used: the consumer looks at [0, used)
  uint64_t data_base;   // first byte past the table, page aligned
  uint64_t names;       // of the host region: +1 when entries with names change
  uint64_t reserved[2];
  FileEntry entries[];
};
static_assert(sizeof(FileTable) == 64);

inline constexpr uint32_t kHostEntries = 1023;
// Of those at most for a container's mounts; the others are for bodies of HTTP.
inline constexpr uint32_t kMountEntries = 896;
inline constexpr uint32_t kGuestEntries = 12287;
constexpr uint64_t TableBytes(uint32_t entries) {
  return (sizeof(FileTable) + entries * sizeof(FileEntry) + kPageSize - 1) & ~(kPageSize - 1);
}

// True: the copied entry lies within a region of `region_size` bytes whose data starts at
// `data_base`. REQUIRES: `entry` is a private copy.
constexpr bool CheckEntry(const FileEntry& entry, uint64_t data_base, uint64_t region_size) {
  const Window data{data_base, region_size - data_base};
  if (data_base > region_size) return false;
  if (entry.type != FileType::kRegular && entry.type != FileType::kDirectory &&
      entry.type != FileType::kSymlink) {
    return false;
  }
  if (entry.name_size > kMaxName) return false;
  if (entry.name_size != 0 && !data.Contains(entry.name_offset, entry.name_size)) return false;
  if (entry.type == FileType::kDirectory) return true;
  if (entry.size > entry.capacity || entry.capacity % kPageSize != 0) return false;
  if (entry.capacity == 0) return entry.size == 0;
  return entry.offset % kPageSize == 0 && data.Contains(entry.offset, entry.capacity);
}

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_FILE_TABLE_H_
