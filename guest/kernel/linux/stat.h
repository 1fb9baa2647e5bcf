// stat.h: struct stat, statx, statfs and directory records of the Linux x86-64 ABI.
#ifndef USETL_GUEST_KERNEL_LINUX_STAT_H_
#define USETL_GUEST_KERNEL_LINUX_STAT_H_

#include <cstdint>

namespace usetl::kernel {

struct Stat {  // struct stat, <asm/stat.h>
  uint64_t device, inode, links;
  uint32_t mode, uid, gid, padding;
  uint64_t special_device;
  int64_t size, block_size, blocks;
  uint64_t access_seconds, access_ns, modify_seconds, modify_ns, change_seconds, change_ns;
  int64_t reserved[3];
};
static_assert(sizeof(Stat) == 144);

struct StatxTime {
  int64_t seconds;
  uint32_t nanoseconds;
  int32_t reserved;
};
struct Statx {  // struct statx, <linux/stat.h>
  uint32_t mask, block_size;
  uint64_t attributes;
  uint32_t links, uid, gid;
  uint16_t mode, padding;
  uint64_t inode, size, blocks, attributes_mask;
  StatxTime access, birth, change, modify;
  uint32_t special_major, special_minor, device_major, device_minor;
  uint64_t spare[14];
};
static_assert(sizeof(Statx) == 256);

struct StatFs {  // struct statfs, <asm/statfs.h>
  int64_t type, block_size;
  uint64_t blocks, free, available, files, free_files;
  int32_t id[2];
  int64_t name_length, fragment_size, flags, spare[4];
};
static_assert(sizeof(StatFs) == 120);

struct DirectoryRecord {  // struct linux_dirent64, then the name
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;
};

inline constexpr uint32_t kStatModeMask = 0170000, kStatModeFifo = 0010000;
inline constexpr uint32_t kStatModeCharacter = 0020000, kStatModeDirectory = 0040000;
inline constexpr uint32_t kStatModeRegular = 0100000, kStatModeLink = 0120000;
inline constexpr uint32_t kStatModeSocket = 0140000;

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_LINUX_STAT_H_
