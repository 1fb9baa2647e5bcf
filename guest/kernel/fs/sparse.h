// sparse.h: files with holes. The first bytes of a sparse file lie in its inode's range, as those
// of any file; what was written beyond a hole lies in extents, and holes take no room.
//
// Whoever needs the content in one piece (mmap, a request's body) calls FillHoles first. Files of
// mounts have no holes here: their host has them.
#ifndef USETL_GUEST_KERNEL_FS_SPARSE_H_
#define USETL_GUEST_KERNEL_FS_SPARSE_H_

#include "guest/kernel/fs/inode.h"

namespace usetl::kernel {

// Whether what is written from `offset` on, or a size of `offset`, makes a hole worth having.
bool LeavesHole(const Inode& inode, uint64_t offset);

// As ReadInode, of a sparse file.
int64_t ReadSparse(const Inode& inode, void* user, uint64_t size, uint64_t offset);
// Of a file of the guest region, which is sparse from then on. Bytes written, -EFAULT, -ENOSPC; the
// size is the caller's business.
int64_t WriteSparse(Inode* inode, const void* user, uint64_t size, uint64_t offset);
// Makes room for all of [offset, end) in a file of the guest region. 0 or -ENOSPC.
int64_t ReserveSparse(Inode* inode, uint64_t offset, uint64_t end);
// Sets the size of a file of the guest region and lets go of what is beyond it.
void TruncateSparse(Inode* inode, uint64_t size);
// Once the size is right: a file whose own range has become all of it is a plain one again.
void EndSparse(Inode* inode);
// Of a sparse file: where data, or a hole, begins at or after `offset`; the size, when there is
// none.
uint64_t FindData(const Inode& inode, uint64_t offset);
uint64_t FindHole(const Inode& inode, uint64_t offset);
uint64_t SparseRoom(const Inode& inode);  // bytes it takes

// Of any file: its content in one range. 0 or -ENOSPC.
int64_t FillHoles(Inode* inode);
void FreeExtents(Inode* inode);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_SPARSE_H_
