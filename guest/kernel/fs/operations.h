// operations.h: what the path system calls do. Paths are kernel memory; results as of the calls.
#ifndef USETL_GUEST_KERNEL_FS_OPERATIONS_H_
#define USETL_GUEST_KERNEL_FS_OPERATIONS_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/node.h"

namespace usetl::kernel {

int64_t OpenPath(Node* base, const char* path, int flags, uint32_t mode, File** file);
int64_t StatPath(Node* base, const char* path, bool follow, Stat* stat);
int64_t MakeDirectory(Node* base, const char* path, uint32_t mode);
int64_t Remove(Node* base, const char* path, bool directory);
int64_t Rename(Node* from_base, const char* from, Node* to_base, const char* to, uint32_t flags);
int64_t MakeLink(Node* from_base, const char* from, Node* to_base, const char* to, bool follow);
int64_t MakeSymlink(const char* target, Node* base, const char* path);
// A name for a socket, which is nothing but a name; with the umask's mode. `*inode` gets no
// reference. -EOPNOTSUPP in a mount.
int64_t MakeSocketName(Node* base, const char* path, Inode** inode);
int64_t ReadLinkPath(Node* base, const char* path, char* buffer, uint64_t size);
int64_t CheckAccess(Node* base, const char* path, int mode, bool follow);
int64_t TruncatePath(Node* base, const char* path, uint64_t size);
// A file of the guest region without a name (memfd_create, O_TMPFILE). Null: out of memory.
File* NewNamelessFile(uint32_t mode);

// The inode that `path` names, for changes of metadata. -EPERM below special directories.
int64_t FindInode(Node* base, const char* path, bool follow, Inode** inode);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_OPERATIONS_H_
