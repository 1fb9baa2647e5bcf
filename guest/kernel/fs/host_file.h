// host_file.h: a file below a mounted directory. Its content is the host's: it is read into the
// host region a piece at a time, and what is written goes to the host at once.
//
// While the function has the file open the host has it open too: it stays what it is when somebody
// moves or removes its name. Nothing of it is here once the function has closed and unmapped it.
#ifndef USETL_GUEST_KERNEL_FS_HOST_FILE_H_
#define USETL_GUEST_KERNEL_FS_HOST_FILE_H_

#include <cstdint>

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/node.h"
#include "vmm/abi/mail.h"

namespace usetl::kernel {

// Bytes of a file from `begin` on, in an entry of the host region.
struct HostContent {
  uint32_t entry = abi::kNoEntry;
  uint64_t address = 0;
  uint64_t begin = 0, size = 0;
};

// What some mapping shows: all that the file had then.
struct HostMapping {
  HostMapping* next;
  HostContent content;
  abi::MountedFile file;
  bool reusable;
};

struct HostFile {
  uint32_t mount = 0;       // its number
  abi::MountedFile file{};  // as the host said last; Inode has the same
  HostContent window;       // what was read last
  HostMapping* mappings = nullptr;
  uint32_t handle = abi::kNoHandle;  // of the host's open file
  bool reads = false, writes = false;
  HostFile* next_open = nullptr;  // with a handle
  uint64_t life = 0;              // of whom handle, window and mappings are, see ForgetHostFiles()
};

// Makes `inode` one of mount `mount`. False: out of memory.
bool AttachHostFile(Inode* inode, uint32_t mount, const abi::MountedFile& file);
// What the host says now of the same file or directory.
void UpdateHostFile(Inode* inode, const abi::MountedFile& file);
// Nobody has it open any more; with `gone` nobody knows it either.
void CloseHostFile(Inode* inode, bool gone);

struct HostAccess {
  bool reads, writes, truncates;
};
// Opens the regular file at `node`, whose inode may be another one afterwards: that of the file
// that is there by then. 0 or -errno.
int64_t OpenHostFile(Node* node, const HostAccess& access);
// Whether it is a host's file that the host has open for us.
bool IsOpenHostFile(Inode* inode);
// The host has made the file and opened it for both.
void TakeHandle(Inode* inode, uint32_t handle);

// Of open ones; results as of the system calls. `append`: `offset` does not count.
int64_t ReadHostFile(Inode* inode, void* user, uint64_t size, uint64_t offset);
int64_t WriteHostFile(Inode* inode, const void* user, uint64_t size, uint64_t offset, bool append);
int64_t TruncateHostFile(Inode* inode, uint64_t size);
int64_t SyncHostFile(const Inode* inode);
// Has the host say what statfs(2) does: LastAnswer().
int64_t SpaceOfHostFile(Inode* inode);
// kMode or kTimes.
int64_t ChangeHostFile(Inode* inode, const HostChange& change);
// Brings size, times and mode up to date: others change them too.
int64_t RefreshHostFile(Inode* inode);
// Shows what the file has now. -ENODEV: `shared`, and somebody here has it open for writing; what
// they write would not be seen. -ENOMEM: the file has no room in the host region.
int64_t MapHostFile(Inode* inode, uint64_t offset, bool shared, MapSource* source);

// In a clone: what was open and read is its original's.
void ForgetHostFiles();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_HOST_FILE_H_
