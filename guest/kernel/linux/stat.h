#ifndef USETL_GUEST_KERNEL_LINUX_STAT_H_
#define USETL_GUEST_KERNEL_LINUX_STAT_H_
#include <cstdint>
namespace usetl::kernel {
struct Stat {
  uint64_t device, inode, links;
  uint32_t mode, uid, gid, padding;
  uint64_t special_device;
  int64_t size, block_size, blocks;
  uint64_t access_seconds, access_ns, modify_seconds, modify_ns, change_seconds, change_ns;
  int64_t reserved[3];
};
static_assert(sizeof(Stat) == 144);
inline constexpr uint32_t kStatModeMask = 0170000, kStatModeFifo = 0010000, kStatModeCharacter = 0020000, kStatModeSocket = 0140000;
}
#endif
