// mount.h: what the pod mounts into the tree. Single files, and what the kubelet keeps, are copies
// of the host's; what is below other directories is looked for there (live.h). A change below a
// writable mount is made on the host first, or together with the host, before the call returns.
//
// A read-only root is a mount as well. /run/usetl, where the agent puts large answers, is a plain
// one, which the host knows nothing of: whatever lies above it, the function may write there.
// A mount begins at the node whose inode says so (Inode::mount) and has everything below it.
#ifndef USETL_GUEST_KERNEL_FS_MOUNT_H_
#define USETL_GUEST_KERNEL_FS_MOUNT_H_

#include <cstdint>

#include "guest/kernel/fs/node.h"
#include "vmm/abi/mail.h"

namespace usetl::kernel {

// Fields as abi::MountChange has them; `text` ends in a zero.
struct HostChange {
  abi::MountOp op;
  uint32_t mode = 0;
  uint64_t offset = 0, size = 0, position = 0;
  const char* text = "";
  uint32_t flags = 0;
};

// Of Inode::mount, beside what abi::FileEntry has: the function's own.
inline constexpr uint32_t kPlainMount = ~0u - 1;

bool IsMount(const Node* node);  // one begins there
// Of one with a number: what MountChange has.
uint32_t MountNumber(const Node* mount);
// Where the mount of `node` begins; null: in none, or `node` is null.
Node* MountOf(Node* node);
// Whether what changes there is the host's: in a mount, but not a plain one.
bool IsOfHost(Node* node);
// 0, or -EROFS: in a mount that is read-only.
int64_t MayChange(Node* node);
// The same of an inode, which may have no name any more.
int64_t MayChangeFile(const Inode* inode);
// Whether rename may move `node` to a name in `directory`, which may have `there` already. 0,
// -EROFS, -EBUSY (a mount itself), -EXDEV (from one mount to another).
int64_t MayMove(Node* node, Node* directory, Node* there);

// Make the change on the host; 0 at once outside of mounts. -errno: the host said no, or -EROFS.
int64_t ChangeName(Node* directory, const char* name, const HostChange& change);
int64_t ChangeNode(Node* node, const HostChange& change);
int64_t RenameOnHost(Node* node, Node* directory, const char* name);
// Asks about `path` below `directory`, which is in a mounted one; empty: about `directory` itself.
int64_t AskAbout(Node* directory, const char* path, const HostChange& question);
// Of an inode, as MayChangeFile().
int64_t ChangeFile(Inode* inode, const HostChange& change);

// In a clone: nobody on the host listens, all mounts are read-only from here on.
void FreezeMounts();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_MOUNT_H_
