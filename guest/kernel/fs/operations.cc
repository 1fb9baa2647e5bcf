#include "guest/kernel/fs/operations.h"

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/fcntl.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

bool Exists(const Node* node) { return node != nullptr && node->inode != nullptr; }
bool IsDirectory(const Node* node) {
  return Exists(node) && node->inode->type == InodeType::kDirectory;
}

class NodeUser {
 public:
  explicit NodeUser(Node* node) : node_(node) { ++node_->users; }
  NodeUser(const NodeUser&) = delete;
  NodeUser& operator=(const NodeUser&) = delete;
  ~NodeUser() { --node_->users; }

 private:
  Node* node_;
};

// Gives the name that the walk ended at to `inode`. 0 or -ENOMEM.
int64_t Attach(Walked* walked, Inode* inode) {
  Node* node = walked->node != nullptr
                   ? walked->node
                   : FindOrAddChild(walked->parent, walked->last, walked->last_size);
  if (node == nullptr) return -ENOMEM;
  if (walked->node == nullptr && IsLive(walked->parent)) NoteLiveName();
  node->inode = inode;
  inode->home = node;
  node->lower.count = 0;
  if (inode->type == InodeType::kDirectory) node->complete = true;
  walked->node = node;
  Touch(walked->parent->inode);
  return 0;
}

void PublishName(Node* node) {
  char path[kPathMax];
  if (PathOf(node, path, sizeof path) > 0) PublishInode(node->inode, path);
}

int64_t CreateRegular(Walked* walked, uint32_t mode, bool replace) {
  if (IsLive(walked->parent)) {
    return CreateLive(walked->parent, walked->last, mode, replace, &walked->node);
  }
  const int64_t refused =
      ChangeName(walked->parent, walked->last,
                 {.op = replace ? abi::MountOp::kReplace : abi::MountOp::kCreate, .mode = mode});
  if (refused != 0) return refused;
  Inode* inode = NewInode(InodeType::kRegular, static_cast<uint16_t>(mode & 07777));
  if (inode == nullptr) return -ENOMEM;
  int64_t error = EnsureWritable(inode, 0);
  if (error == 0) error = Attach(walked, inode);
  if (error != 0) {
    UnrefInode(inode);
    return error;
  }
  PublishName(walked->node);
  return 0;
}

// Of a mounted directory the host knows what is in it, apart from mounts.
bool HasOwnChildren(Node* directory) {
  return IsLive(directory) ? HasMountBelow(directory) : HasChildren(directory);
}

// For calls that make a name: it must be free, and not end in a slash unless it is a directory's.
int64_t WalkToNew(Node* base, const char* path, bool directory, Walked* walked) {
  if (const int64_t error = Walk(base, path, false, walked); error != 0) return error;
  if (walked->special != nullptr) return walked->rest[0] == 0 ? -EEXIST : -EPERM;
  if (Exists(walked->node)) return -EEXIST;
  if (walked->must_be_directory && !directory) return -ENOENT;
  return walked->parent->inode == nullptr ? -ENOENT : 0;
}

// A file that is there already.
int64_t OpenToWrite(Node* node, bool truncate) {
  if (const int64_t error = MayChange(node); error != 0) return error;
  Inode* inode = node->inode;
  const bool mine = inode->own;
  if (truncate && inode->size != 0) {
    if (const int64_t error = TruncateInode(inode, 0); error != 0) return error;
  }
  if (mine) return 0;
  if (const int64_t error = EnsureWritable(inode, inode->size); error != 0) return error;
  PublishName(node);
  return 0;
}

int64_t OpenLive(Node* node, uint32_t access, int flags) {
  if (access != kReadOnly) {
    if (const int64_t error = MayChange(node); error != 0) return error;
  }
  return OpenHostFile(node, {.reads = access != kWriteOnly,
                             .writes = access != kReadOnly,
                             .truncates = access != kReadOnly && (flags & kOpenTruncate) != 0});
}

int64_t OpenTree(Node* base, const char* path, int flags, uint32_t mode, File** file) {
  const bool exclusive = (flags & kOpenCreate) && (flags & kOpenExclusive);
  const bool follow = !(flags & kOpenNoFollow) && !exclusive;
  const uint32_t access = flags & kAccessMode;
  if ((flags & kOpenTemporary) == kOpenTemporary && (flags & kOpenDirectory)) {
    Walked walked;
    if (const int64_t error = WalkExisting(base, path, true, &walked); error != 0) return error;
    if (const int64_t error = MayChange(walked.node); error != 0) return error;
    *file = NewNamelessFile(mode);
    if (*file == nullptr) return -ENOSPC;
    (*file)->status_flags = access;
    return 0;
  }
  Walked walked;
  bool made = false;
  if (const int64_t error = Walk(base, path, follow, &walked); error != 0) return error;
  if (walked.special != nullptr) return walked.special->Open(walked.rest, flags, file);
  if (!Exists(walked.node)) {
    if (!(flags & kOpenCreate)) return -ENOENT;
    if (walked.must_be_directory) return -EISDIR;
    if (walked.parent->inode == nullptr) return -ENOENT;
    const int64_t error = CreateRegular(&walked, mode, (flags & kOpenTruncate) && !exclusive);
    if (error != 0) return error;
    made = true;
  } else if (exclusive) {
    return -EEXIST;
  }
  Inode* inode = walked.node->inode;
  switch (inode->type) {
    case InodeType::kSymlink:
      return -ELOOP;
    case InodeType::kSocket:
      return -ENXIO;
    case InodeType::kDirectory:
      if (access != kReadOnly || (flags & kOpenCreate)) return -EISDIR;
      *file = NewDirectoryFile(walked.node);
      break;
    case InodeType::kRegular:
      if ((flags & kOpenDirectory) || walked.must_be_directory) return -ENOTDIR;
      if (inode->host != nullptr) {
        // What was just made is open, and its mode need not let its owner open it again.
        const int64_t error = made ? 0 : OpenLive(walked.node, access, flags);
        if (error != 0) return error;
        inode = walked.node->inode;
      } else if (access != kReadOnly) {
        if (const int64_t error = OpenToWrite(walked.node, flags & kOpenTruncate); error != 0) {
          return error;
        }
      }
      *file = NewRegularFile(inode, walked.node);
      break;
  }
  if (*file == nullptr) {
    if (inode->host != nullptr && inode->references == 1) CloseHostFile(inode, /*gone=*/false);
    return -ENOMEM;
  }
  constexpr uint32_t kKept = kAccessMode | kAppend | kNonBlock;
  (*file)->status_flags = static_cast<uint32_t>(flags) & kKept;
  return 0;
}

int64_t StatOf(const Walked& walked, bool follow, Stat* stat) {
  if (walked.special != nullptr) return walked.special->GetStat(walked.rest, follow, stat);
  if (IsLiveMount(walked.node)) {
    if (const int64_t error = ConfirmMount(walked.node); error != 0) return error;
  }
  FillStat(*walked.node->inode, stat);
  return 0;
}

}  // namespace

int64_t OpenPath(Node* base, const char* path, int flags, uint32_t mode, File** file) {
  // What somebody else makes or removes below a mounted directory after the walk: once more.
  constexpr int kTries = 3;
  // A file that is made is no directory; nothing comes of it.
  if ((flags & kOpenCreate) && (flags & kOpenDirectory) && !(flags & kOpenPath)) return -EINVAL;
  int64_t error = 0;
  for (int i = 0; i < kTries; ++i) {
    error = OpenTree(base, path, flags, mode, file);
    const bool raced = error == -ENOENT || (error == -EEXIST && !(flags & kOpenExclusive));
    if (!raced || !(flags & kOpenCreate) || !HasLiveMounts()) break;
  }
  return error;
}

int64_t StatPath(Node* base, const char* path, bool follow, Stat* stat) {
  Walked walked;
  const int64_t error = WalkExisting(base, path, follow, &walked);
  return error != 0 ? error : StatOf(walked, follow, stat);
}

int64_t MakeDirectory(Node* base, const char* path, uint32_t mode) {
  Walked walked;
  if (const int64_t error = WalkToNew(base, path, true, &walked); error != 0) return error;
  const int64_t refused = ChangeName(walked.parent, walked.last,
                                     {.op = abi::MountOp::kMakeDirectory, .mode = mode & 01777});
  if (refused != 0) return refused;
  Inode* inode = NewInode(InodeType::kDirectory, static_cast<uint16_t>(mode & 01777));
  if (inode == nullptr) return -ENOMEM;
  const int64_t error = Attach(&walked, inode);
  if (error != 0) UnrefInode(inode);
  return error;
}

int64_t Remove(Node* base, const char* path, bool directory) {
  Walked walked;
  if (const int64_t error = WalkExisting(base, path, false, &walked); error != 0) return error;
  if (walked.special != nullptr) return walked.rest[0] == 0 ? -EBUSY : -EPERM;
  Node* node = walked.node;
  if (node == RootNode()) return directory ? -EBUSY : -EISDIR;
  if (IsDirectory(node) != directory) return directory ? -ENOTDIR : -EISDIR;
  if (directory) {
    if (walked.last_size == 1 && walked.last[0] == '.') return -EINVAL;
    if (walked.last_size == 2 && walked.last[0] == '.' && walked.last[1] == '.') return -ENOTEMPTY;
    if (HasOwnChildren(node)) return -ENOTEMPTY;
  }
  Inode* inode = node->inode;
  if (inode->mount != 0) return -EBUSY;
  const int64_t refused =
      ChangeNode(node, {.op = directory ? abi::MountOp::kRemoveDirectory : abi::MountOp::kRemove});
  if (refused != 0) return refused;
  if (directory && IsLive(node)) HideBelow(node);  // what others have removed
  inode->home = nullptr;
  node->inode = nullptr;
  node->lower.count = 0;
  if (inode->links != 0) --inode->links;
  inode->changed_ns = walked.parent->inode->modified_ns;
  if (inode->links != 0 || inode->references > 1) PublishInode(inode, "");
  UnrefInode(inode);
  Touch(walked.parent->inode);
  return 0;
}

int64_t Rename(Node* from_base, const char* from, Node* to_base, const char* to, uint32_t flags) {
  if (flags & ~static_cast<uint32_t>(kRenameNoReplace | kRenameExchange)) return -EINVAL;
  Walked source, target;
  if (const int64_t error = WalkExisting(from_base, from, false, &source); error != 0) return error;
  const NodeUser user(source.node);  // so that the second walk leaves it and what is above
  if (const int64_t error = Walk(to_base, to, false, &target); error != 0) return error;
  if (source.special != nullptr || target.special != nullptr) return -EXDEV;
  Node* node = source.node;
  if (!Exists(node)) return -ENOENT;  // the second walk has asked again
  if (node == RootNode() || target.node == RootNode()) return -EBUSY;
  if (target.must_be_directory && !IsDirectory(node)) return -ENOTDIR;
  for (Node* n = target.parent; n != RootNode(); n = n->parent) {
    if (n == node) return -EINVAL;  // into itself
  }
  if (const int64_t error = MayMove(node, target.parent, target.node); error != 0) return error;
  if (flags & kRenameExchange) {
    if (IsOfHost(node)) return -EINVAL;
    if (!Exists(target.node)) return -ENOENT;
    if (IsDirectory(node) || IsDirectory(target.node)) return -EXDEV;
    Inode* swapped = node->inode;
    node->inode = target.node->inode;
    target.node->inode = swapped;
    PublishName(node);
    PublishName(target.node);
    return 0;
  }
  if (Exists(target.node)) {
    if (flags & kRenameNoReplace) return -EEXIST;
    if (target.node->inode == node->inode) return 0;
    if (IsDirectory(node) && !IsDirectory(target.node)) return -ENOTDIR;
    if (!IsDirectory(node) && IsDirectory(target.node)) return -EISDIR;
    if (IsDirectory(target.node) && HasOwnChildren(target.node)) return -ENOTEMPTY;
  }
  if (const int64_t error = RenameOnHost(node, target.parent, target.last); error != 0) {
    return error;
  }
  if (Exists(target.node)) {
    if (IsDirectory(target.node) && IsLive(target.node)) HideBelow(target.node);
    Inode* gone = target.node->inode;
    target.node->inode = nullptr;
    gone->home = nullptr;
    if (gone->links != 0) --gone->links;
    if (gone->references > 1) PublishInode(gone, "");
    UnrefInode(gone);
  }
  Node* place = target.node != nullptr
                    ? target.node
                    : FindOrAddChild(target.parent, target.last, target.last_size);
  if (place == nullptr) return -ENOMEM;
  if (target.node == nullptr && IsLive(target.parent)) NoteLiveName();
  MoveNode(node, place);
  Touch(source.parent->inode);
  Touch(target.parent->inode);
  if (place->inode->type == InodeType::kRegular) PublishName(place);
  return 0;
}

int64_t MakeLink(Node* from_base, const char* from, Node* to_base, const char* to, bool follow) {
  Walked source, target;
  if (const int64_t error = WalkExisting(from_base, from, follow, &source); error != 0)
    return error;
  if (source.special != nullptr) return -EXDEV;
  if (IsDirectory(source.node)) return -EPERM;
  const NodeUser user(source.node);
  if (const int64_t error = WalkToNew(to_base, to, false, &target); error != 0) return error;
  if (MountOf(source.node) != MountOf(target.parent)) return -EXDEV;
  if (const int64_t error = MayChange(target.parent); error != 0) return error;
  if (IsOfHost(source.node)) return -EPERM;  // one name per file there
  Inode* inode = source.node->inode;
  if (const int64_t error = Attach(&target, inode); error != 0) return error;
  RefInode(inode);
  ++inode->links;
  return 0;
}

int64_t MakeSymlink(const char* text, Node* base, const char* path) {
  const uint64_t length = strlen(text);
  if (length == 0) return -ENOENT;
  Walked walked;
  if (const int64_t error = WalkToNew(base, path, false, &walked); error != 0) return error;
  const int64_t refused =
      ChangeName(walked.parent, walked.last, {.op = abi::MountOp::kSymlink, .text = text});
  if (refused != 0) return refused;
  Inode* inode = NewInode(InodeType::kSymlink, 0777);
  void* copy = Allocate(length + 1);
  if (inode == nullptr || copy == nullptr) {
    Free(copy);
    Delete(inode);
    return -ENOMEM;
  }
  memcpy(copy, text, length + 1);
  inode->address = reinterpret_cast<uint64_t>(copy);
  inode->size = length;
  const int64_t error = Attach(&walked, inode);
  if (error != 0) {
    Free(copy);
    UnrefInode(inode);
  }
  return error;
}

int64_t MakeSocketName(Node* base, const char* path, Inode** inode) {
  Walked walked;
  if (const int64_t error = WalkToNew(base, path, false, &walked); error != 0) return error;
  if (const int64_t error = MayChange(walked.parent); error != 0) return error;
  if (IsOfHost(walked.parent)) return -EOPNOTSUPP;  // others would see a socket that is not there
  *inode = NewInode(InodeType::kSocket, 0755);
  if (*inode == nullptr) return -ENOMEM;
  const int64_t error = Attach(&walked, *inode);
  if (error != 0) UnrefInode(*inode);
  return error;
}

int64_t ReadLinkPath(Node* base, const char* path, char* buffer, uint64_t size) {
  Walked walked;
  if (const int64_t error = WalkExisting(base, path, false, &walked); error != 0) return error;
  if (walked.special != nullptr) return walked.special->ReadLink(walked.rest, buffer, size);
  const Inode& inode = *walked.node->inode;
  if (inode.type != InodeType::kSymlink) return -EINVAL;
  const uint64_t count = inode.size < size ? inode.size : size;
  memcpy(buffer, reinterpret_cast<void*>(inode.address), count);
  return static_cast<int64_t>(count);
}

int64_t CheckAccess(Node* base, const char* path, int mode, bool follow) {
  constexpr int kExecute = 1, kWrite = 2, kRead = 4;
  if ((mode & ~(kExecute | kWrite | kRead)) != 0) return -EINVAL;
  Walked walked;
  if (const int64_t error = WalkExisting(base, path, follow, &walked); error != 0) return error;
  Stat stat;
  if (const int64_t error = StatOf(walked, follow, &stat); error != 0) return error;
  if (mode != 0 && walked.special == nullptr && IsLive(walked.node)) {
    if (const int64_t error = CheckLiveAccess(walked.node, mode); error != 0) return error;
  }
  if ((mode & kWrite) && walked.special == nullptr) {
    if (const int64_t error = MayChange(walked.node); error != 0) return error;
  }
  // Root may do everything but execute what nobody may.
  const bool directory = (stat.mode & kStatModeMask) == kStatModeDirectory;
  return (mode & kExecute) && !directory && !(stat.mode & 0111) ? -EACCES : 0;
}

int64_t TruncatePath(Node* base, const char* path, uint64_t size) {
  Inode* inode;
  if (const int64_t error = FindInode(base, path, true, &inode); error != 0) return error;
  if (inode->type == InodeType::kDirectory) return -EISDIR;
  if (inode->type == InodeType::kSocket) return -EINVAL;
  if (inode->host == nullptr) return TruncateInode(inode, size);
  Node* node = inode->home;
  if (const int64_t error = MayChange(node); error != 0) return error;
  const HostAccess access{.reads = false, .writes = true, .truncates = size == 0};
  if (const int64_t error = OpenHostFile(node, access); error != 0) return error;
  inode = node->inode;
  RefInode(inode);
  const int64_t error = size == 0 ? 0 : TruncateInode(inode, size);
  UnrefInode(inode);  // closes it, unless somebody else has it open
  return error;
}

File* NewNamelessFile(uint32_t mode) {
  Inode* inode = NewInode(InodeType::kRegular, static_cast<uint16_t>(mode & 07777));
  if (inode == nullptr) return nullptr;
  inode->links = 0;
  File* file = EnsureWritable(inode, 0) == 0 ? NewRegularFile(inode, nullptr) : nullptr;
  if (file != nullptr) PublishInode(inode, "");
  UnrefInode(inode);  // the file holds its own reference
  return file;
}

int64_t FindInode(Node* base, const char* path, bool follow, Inode** inode) {
  Walked walked;
  if (const int64_t error = WalkExisting(base, path, follow, &walked); error != 0) return error;
  if (walked.special != nullptr) return -EPERM;
  *inode = walked.node->inode;
  return 0;
}

}  // namespace usetl::kernel
