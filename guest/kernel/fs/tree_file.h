// tree_file.h: open files and directories of the tree.
#ifndef USETL_GUEST_KERNEL_FS_TREE_FILE_H_
#define USETL_GUEST_KERNEL_FS_TREE_FILE_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/path.h"

namespace usetl::kernel {

// `node` may be null (nameless). References to the inode are taken; null: out of memory.
File* NewRegularFile(Inode* inode, Node* node);
File* NewDirectoryFile(Node* node);
// A directory below a special one.
File* NewSpecialDirectoryFile(SpecialDirectory* special, const char* rest);

// The inode of a regular file of the tree, the node of a directory; null for anything else.
Inode* InodeOf(File* file);
Node* DirectoryOf(File* file);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_TREE_FILE_H_
