// path.h: walks a path to a node.
#ifndef USETL_GUEST_KERNEL_FS_PATH_H_
#define USETL_GUEST_KERNEL_FS_PATH_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/fs/node.h"

namespace usetl::kernel {

inline constexpr uint64_t kPathMax = 4096;

// Serves a subtree that is not made of nodes. `rest` is the path below it without leading '/',
// empty for the directory itself. Results as of the system calls.
class SpecialDirectory {
 public:
  virtual int64_t Open(const char* rest, int flags, File** file) = 0;
  virtual int64_t GetStat(const char* rest, bool follow, Stat* stat) = 0;
  virtual int64_t ReadLink(const char* rest, char* buffer, uint64_t size) = 0;
  // Name and type (DT_*) of the index-th entry; null past the end.
  virtual const char* List(const char* rest, uint64_t index, uint8_t* type) = 0;
};

struct Walked {
  Node* parent = nullptr;               // directory of the last component
  Node* node = nullptr;                 // null or negative: the name does not exist
  SpecialDirectory* special = nullptr;  // the path leads into it
  char rest[256];                       // below `special`
  char last[kMaxComponent + 1];         // the last component
  uint32_t last_size = 0;
  bool must_be_directory = false;  // a trailing slash
};

// Walks `path` from `base`. All components but the last must exist. `follow`: a symlink in last
// place is followed. 0 or -errno (ENOENT only for a missing directory on the way, or an empty
// path).
int64_t Walk(Node* base, const char* path, bool follow, Walked* walked);

// The same without a look at what the host has put there meanwhile.
int64_t WalkTree(Node* base, const char* path, bool follow, Walked* walked);

// As Walk(), for a path that must exist: -ENOENT otherwise, -ENOTDIR for a file with a trailing
// slash.
int64_t WalkExisting(Node* base, const char* path, bool follow, Walked* walked);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_PATH_H_
