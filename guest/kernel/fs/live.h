// live.h: names below mounted directories. Others change them too: nodes there are what the host
// has said last, and each walk asks again. Mounts within, and the way to them, are the kernel's
// own.
#ifndef USETL_GUEST_KERNEL_FS_LIVE_H_
#define USETL_GUEST_KERNEL_FS_LIVE_H_

#include <cstdint>

#include "guest/kernel/fs/node.h"
#include "vmm/abi/mail.h"

namespace usetl::kernel {

// Whether there are mounted directories at all.
bool HasLiveMounts();
void NoteLiveMount(Node* mount);
// Whether a mounted directory begins there, or is above.
bool IsLiveMount(const Node* node);
bool IsLive(Node* node);
// Whether a mount begins somewhere below.
bool HasMountBelow(const Node* directory);

// Asks the host what the first names of `path` below `directory` are. Returns how much of `path`
// the nodes are right for; 0: all of it, the directory is no mounted one; -errno.
int64_t ConfirmNames(Node* directory, const char* path);
// The same of the mount itself.
int64_t ConfirmMount(Node* mount);

// A name was made below a mounted directory.
void NoteLiveName();
// Forgets names that nobody uses when there are many. REQUIRES: no walk is under way.
void PruneNames();

// Makes the node, which is in a mounted directory, what `file` says; an inode of the same file
// stays. `target`: of a link. False: out of memory.
bool SetLiveInode(Node* node, const abi::MountedFile& file, const char* target);
bool SameHostFile(const abi::MountedFile& a, const abi::MountedFile& b);

// Makes a regular file that the host opens for both, at its new name. 0 or -errno; -EEXIST when it
// is there by now.
int64_t CreateLive(Node* directory, const char* name, uint32_t mode, bool replace, Node** made);

// access(2) of what exists: what the host says of the container's user. 0 or -errno.
int64_t CheckLiveAccess(Node* node, int mode);

// getdents64(2). `position`: where to go on; `mounts`: how many of those within were listed.
int64_t ListLive(Node* directory, void* user, uint64_t size, uint64_t* position, uint32_t* mounts);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_LIVE_H_
