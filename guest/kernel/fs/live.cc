#include "guest/kernel/fs/live.h"

#include <asm/errno.h>

#include "guest/kernel/fs/directory_record.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

// Names of one question, as they lie one behind the other in a path.
struct Names {
  char text[kPathMax];  // with single slashes, zero-terminated
  uint32_t begin[abi::kMaxLookNames], size[abi::kMaxLookNames];
  int64_t end[abi::kMaxLookNames];  // within the path that was given
  uint32_t count;
};
// Nothing sleeps between its filling and the host's answer.
Names g_names;

Node* g_mounts[abi::kMaxMounts];
bool g_has_mounts = false;

constexpr uint32_t kMostNames = 1024;
uint32_t g_names_made = 0;  // since they were pruned

uint32_t NameSize(const char* path) {
  uint32_t size = 0;
  while (path[size] != 0 && path[size] != '/') ++size;
  return size;
}

bool IsDots(const char* name, uint32_t size) {
  return (size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.');
}

// The nodes of a mounted directory are all there are of it.
Node* Known(Node* directory, const char* name, uint32_t size) {
  Node* node = nullptr;
  return directory != nullptr && FindChild(directory, name, size, &node) == 0 ? node : nullptr;
}

// Takes the names of `path` up to one that the host is not to be asked about. That one's end is
// returned when it is the first.
int64_t TakeNames(Node* directory, const char* path) {
  g_names.count = 0;
  uint32_t used = 0;
  for (const char* at = path; *at != 0 && g_names.count < abi::kMaxLookNames;) {
    const uint32_t size = NameSize(at);
    directory = size <= kMaxComponent ? Known(directory, at, size) : nullptr;
    if (size > kMaxComponent || IsDots(at, size) || IsMount(directory)) {
      return g_names.count == 0 ? at + size - path : 0;
    }
    if (used + size + 2 > sizeof g_names.text) break;
    if (used != 0) g_names.text[used++] = '/';
    const uint32_t i = g_names.count++;
    g_names.begin[i] = used;
    g_names.size[i] = size;
    g_names.end[i] = at + size - path;
    memcpy(g_names.text + used, at, size);
    used += size;
    at += size;
    while (*at == '/') ++at;
  }
  g_names.text[used] = 0;
  return 0;
}

uint64_t DepthOf(const Node* node) {
  uint64_t depth = 0;
  for (; !IsMount(node); node = node->parent) ++depth;
  return depth;
}

// The name is gone. Whoever has the file open keeps it.
void Vanish(Node* node) {
  if (node == nullptr || node->inode == nullptr || HasMountBelow(node)) return;
  if (node->inode->links != 0) --node->inode->links;
  Hide(node);
}

InodeType TypeOf(const abi::MountedFile& file) {
  return file.type == abi::FileType::kDirectory ? InodeType::kDirectory
         : file.type == abi::FileType::kSymlink ? InodeType::kSymlink
                                                : InodeType::kRegular;
}

bool StaysInode(const Inode* inode, const abi::MountedFile& file) {
  if (inode == nullptr || inode->type != TypeOf(file)) return false;
  if (inode->type == InodeType::kDirectory) return true;
  return inode->host != nullptr && SameHostFile(inode->host->file, file) &&
         (inode->type == InodeType::kRegular || inode->host->file.changed_ns == file.changed_ns);
}

// A link's target is kernel memory, as that of a link of the function's own.
bool SetTarget(Inode* inode, const char* target, uint64_t size) {
  auto* copy = static_cast<char*>(Allocate(size + 1));
  if (copy == nullptr) return false;
  memcpy(copy, target, size);
  copy[size] = 0;
  inode->address = reinterpret_cast<uint64_t>(copy);
  inode->size = size;
  return true;
}

Node* AddName(Node* directory, const char* name, uint32_t size) {
  Node* known = Known(directory, name, size);
  if (known != nullptr) return known;
  NoteLiveName();
  return FindOrAddChild(directory, name, size);
}

void PruneOne(Node* node) {
  if (IsMount(node)) return;
  const bool open = node->inode != nullptr && node->inode->references != 1;
  if (open || node->users != 0 || node->first_child != nullptr || !Hide(node)) return;
  ForgetNode(node);
}

// What is below first; without recursion, for trees of others are as deep as they like.
void Prune(Node* directory) {
  Node* node = directory->first_child;
  while (node != nullptr) {
    while (!IsMount(node) && node->first_child != nullptr) node = node->first_child;
    for (;;) {
      Node* next = node->next_sibling;
      Node* parent = node->parent;
      PruneOne(node);
      if (next != nullptr) {
        node = next;
        break;
      }
      if (parent == directory) return;
      node = parent;
    }
  }
}

// Of a directory, mounts and what leads to them: the index-th, or null.
Node* OwnChild(Node* directory, uint32_t index) {
  for (Node* child = directory->first_child; child != nullptr; child = child->next_sibling) {
    const bool own = child->inode != nullptr && (IsMount(child) || HasMountBelow(child));
    if (own && index-- == 0) return child;
  }
  return nullptr;
}

}  // namespace

void NoteLiveName() { ++g_names_made; }

bool HasLiveMounts() { return g_has_mounts; }

void NoteLiveMount(Node* mount) {
  const uint32_t number = MountNumber(mount);
  if (number >= abi::kMaxMounts) return;  // no host says that
  g_mounts[number] = mount;
  g_has_mounts = true;
}

bool IsLiveMount(const Node* node) {
  if (!IsMount(node) || node->inode->type != InodeType::kDirectory) return false;
  return node->inode->mount != abi::kReadOnlyMount && node->inode->mount != kPlainMount;
}

bool IsLive(Node* node) { return IsLiveMount(MountOf(node)); }

bool HasMountBelow(const Node* directory) {
  for (const Node* node = NextBelow(directory, directory); node != nullptr;
       node = NextBelow(node, directory)) {
    if (IsMount(node)) return true;
  }
  return false;
}

bool SameHostFile(const abi::MountedFile& a, const abi::MountedFile& b) {
  return a.inode == b.inode && a.device == b.device && a.type == b.type;
}

int64_t ConfirmNames(Node* directory, const char* path) {
  if (!IsLive(directory)) return 0;
  if (const int64_t passed = TakeNames(directory, path); passed != 0) return passed;
  const int64_t error = AskAbout(directory, g_names.text,
                                 {.op = abi::MountOp::kLook, .position = DepthOf(directory)});
  if (error != 0 && error != -ENOENT) return error;
  const HostAnswer& answer = LastAnswer();
  const uint32_t found = answer.done.files < g_names.count ? answer.done.files : g_names.count;
  for (uint32_t i = 0; i < found; ++i) {
    directory = AddName(directory, g_names.text + g_names.begin[i], g_names.size[i]);
    if (directory == nullptr) return -ENOMEM;
    if (!SetLiveInode(directory, answer.files[i], answer.text)) return -ENOMEM;
  }
  if (found != 0 && (error == 0 || found == g_names.count)) return g_names.end[found - 1];
  Vanish(Known(directory, g_names.text + g_names.begin[found], g_names.size[found]));
  return g_names.end[found];
}

void PruneNames() {
  if (g_names_made < kMostNames) return;
  g_names_made = 0;
  for (Node* mount : g_mounts) {
    if (mount != nullptr && IsLiveMount(mount)) Prune(mount);
  }
}

int64_t ConfirmMount(Node* mount) {
  const int64_t error = AskAbout(mount, "", {.op = abi::MountOp::kLook});
  if (error != 0) return error;
  if (LastAnswer().done.files != 1) return -EIO;
  return AttachHostFile(mount->inode, MountNumber(mount), LastAnswer().files[0]) ? 0 : -ENOMEM;
}

bool SetLiveInode(Node* node, const abi::MountedFile& file, const char* target) {
  const uint32_t mount = MountNumber(MountOf(node));
  if (StaysInode(node->inode, file)) return AttachHostFile(node->inode, mount, file);
  if (HasMountBelow(node)) return true;  // the way to a mount stays
  Inode* inode = NewInode(TypeOf(file), file.mode);
  if (inode == nullptr) return false;
  const bool set =
      inode->type != InodeType::kSymlink || SetTarget(inode, target, LastAnswer().done.text_size);
  if (!set || !AttachHostFile(inode, mount, file)) {
    UnrefInode(inode);
    return false;
  }
  Vanish(node);
  node->lower.count = 0;
  node->complete = true;
  node->inode = inode;
  inode->home = node;
  return true;
}

int64_t CreateLive(Node* directory, const char* name, uint32_t mode, bool replace, Node** made) {
  const auto op = replace ? abi::MountOp::kReplace : abi::MountOp::kCreate;
  const int64_t error = ChangeName(directory, name, {.op = op, .mode = mode});
  if (error != 0) return error;
  const HostAnswer& answer = LastAnswer();
  Node* node = AddName(directory, name, static_cast<uint32_t>(strlen(name)));
  const bool set =
      node != nullptr && answer.done.files == 1 && SetLiveInode(node, answer.files[0], nullptr);
  if (!set) {
    CloseMounted(answer.done.handle);
    return -ENOMEM;
  }
  TakeHandle(node->inode, answer.done.handle);
  *made = node;
  return 0;
}

int64_t CheckLiveAccess(Node* node, int mode) {
  const HostChange access{.op = abi::MountOp::kAccess, .mode = static_cast<uint32_t>(mode)};
  const int64_t error = AskAbout(node, "", access);
  // The way to a mount is here only.
  return error == -ENOENT && HasMountBelow(node) ? 0 : error;
}

int64_t ListLive(Node* directory, void* user, uint64_t size, uint64_t* position, uint32_t* mounts) {
  DirectoryWriter out(user, size);
  for (Node* own; (own = OwnChild(directory, *mounts)) != nullptr; ++*mounts) {
    if (!out.Put(own->inode->number, 0, KindOf(own->inode->type), own->name)) return out.End();
  }
  for (;;) {
    const HostChange list{.op = abi::MountOp::kList, .position = *position};
    if (const int64_t error = AskAbout(directory, "", list); error != 0) {
      return out.written() != 0 ? out.End() : error;
    }
    const HostAnswer& answer = LastAnswer();
    if (answer.done.text_size == 0) return out.End();
    for (uint32_t at = 0; at < answer.done.text_size;) {
      DirectoryRecord record;
      memcpy(&record, answer.text + at, kRecordHead);
      const char* name = answer.text + at + kRecordHead;
      const uint32_t length = static_cast<uint32_t>(strlen(name));
      const Node* known = Known(directory, name, length);
      const bool own =
          known != nullptr && known->inode != nullptr && (IsMount(known) || HasMountBelow(known));
      if (!own && !out.Put(record.inode, record.next, record.type, name)) return out.End();
      *position = static_cast<uint64_t>(record.next);
      at += record.length;
    }
    *position = answer.done.size;
  }
}

}  // namespace usetl::kernel
