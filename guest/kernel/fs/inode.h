// inode.h: files, directories and links apart from their names.
//
// A regular file's content lies in a pack or in the host region (read in place) until it is
// written: then it moves to the guest region (copy-up).
#ifndef USETL_GUEST_KERNEL_FS_INODE_H_
#define USETL_GUEST_KERNEL_FS_INODE_H_

#include <cstdint>

#include "guest/kernel/linux/stat.h"

namespace usetl::kernel {

enum class InodeType : uint8_t { kRegular, kDirectory, kSymlink, kSocket };

struct HostFile;
struct Node;
struct Extent;  // fs/sparse.cc

struct Inode {
  uint32_t references = 1;  // names and open files
  uint32_t links = 1;
  InodeType type = InodeType::kRegular;
  bool own = false;     // content in the guest region
  bool sparse = false;  // own: the size may be beyond the capacity (fs/sparse.h)
  uint16_t mode = 0644;
  uint32_t uid = 0, gid = 0;
  uint64_t number = 0;
  uint64_t modified_ns = 0, changed_ns = 0;
  uint64_t accessed_ns = 0;  // as set by utimensat; 0: as modified_ns
  uint64_t address = 0;      // of the content, or of a link's target; 0: empty
  uint64_t size = 0;
  uint64_t capacity = 0;      // own: bytes reserved at `offset`
  uint64_t offset = 0;        // own: within the guest region
  uint32_t pins = 0;          // mappings and transactions: the range must not move
  int32_t slot = -1;          // own: in the guest region's table
  Extent* extents = nullptr;  // sparse: what lies beyond the capacity
  uint32_t mount = 0;         // what is mounted here, as abi::FileEntry has it
  HostFile* host = nullptr;   // below a mounted directory: content and metadata are the host's
  Node* home = nullptr;  // its name, where mounts have to know it: all but packs' files have one
};

Inode* NewInode(InodeType type, uint16_t mode);  // null: out of memory
void RefInode(Inode* inode);
// Frees content and inode with the last reference.
void UnrefInode(Inode* inode);

void FillStat(const Inode& inode, Stat* stat);
void Touch(Inode* inode);  // modified now

// Makes the content writable and at least `size` bytes large (capacity; the size stays); holes stay
// holes. 0, -ENOSPC, -EFBIG.
int64_t EnsureWritable(Inode* inode, uint64_t size);
int64_t TruncateInode(Inode* inode, uint64_t size);
// Bytes written, -EFAULT, -ENOSPC, -EFBIG.
int64_t WriteInode(Inode* inode, const void* user, uint64_t size, uint64_t offset);
int64_t ReadInode(Inode* inode, void* user, uint64_t size, uint64_t offset);

// Tells the host about an own file; `path` as PublishSlot.
void PublishInode(Inode* inode, const char* path);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_INODE_H_
