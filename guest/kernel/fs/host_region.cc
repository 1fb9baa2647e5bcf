#include "guest/kernel/fs/host_region.h"

#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/node.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "vmm/abi/file_table.h"

namespace usetl::kernel {
namespace {

constexpr uint32_t kMostPath = abi::kMaxHostName;

uint64_t g_names = 0;
// By entry, for those below read-only mounts, which the host may take away. Such nodes stay.
Node* g_nodes[abi::kHostEntries];

constexpr uint64_t NumberOf(uint32_t index) { return (1ull << 39) + index; }

const volatile abi::FileTable& Table() {
  return *reinterpret_cast<const volatile abi::FileTable*>(abi::kHostRegion.base);
}

bool Usable() {
  return host_page().host_region_size >= abi::TableBytes(1) &&
         __atomic_load_n(&Table().magic, __ATOMIC_ACQUIRE) == abi::kFileTableMagic;
}

// A stable copy of an entry that passed the checks. False: no such file.
bool CopyEntry(uint32_t index, abi::FileEntry* copy) {
  const uint64_t size = host_page().host_region_size;
  const uint64_t at = sizeof(abi::FileTable) + uint64_t{index} * sizeof *copy;
  if (at + sizeof *copy > size) return false;
  const auto* source = reinterpret_cast<const abi::FileEntry*>(abi::kHostRegion.base + at);
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = __atomic_load_n(&source->sequence, __ATOMIC_ACQUIRE);
    memcpy(copy, source, sizeof *copy);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    const uint64_t after = __atomic_load_n(&source->sequence, __ATOMIC_RELAXED);
    if (before == after && before % 2 == 0) {
      return abi::CheckEntry(*copy, sizeof(abi::FileTable), size);
    }
    asm volatile("pause");
  }
  return false;
}

Inode* InodeFrom(const abi::FileEntry& entry, uint32_t index) {
  Inode* inode = New<Inode>();
  if (inode == nullptr) return nullptr;
  inode->type = entry.type == abi::FileType::kDirectory ? InodeType::kDirectory
                : entry.type == abi::FileType::kSymlink ? InodeType::kSymlink
                                                        : InodeType::kRegular;
  inode->mode = entry.mode & 07777;
  inode->uid = entry.uid;
  inode->gid = entry.gid;
  inode->number = NumberOf(index);
  inode->modified_ns = inode->changed_ns = entry.modified_ns;
  inode->mount = entry.mount;
  if (inode->type != InodeType::kDirectory) {
    inode->size = entry.size;
    inode->address = entry.size == 0 ? 0 : abi::kHostRegion.base + entry.offset;
  }
  return inode;
}

// Where the link at the begin of `path` leads: /var/run is one in many images. Null: nowhere.
Node* FollowLink(const char* path, uint32_t size) {
  char prefix[kMostPath + 2] = "/";
  memcpy(prefix + 1, path, size);
  Walked walked;
  return WalkExisting(RootNode(), prefix, /*follow=*/true, &walked) == 0 ? walked.node : nullptr;
}

// Makes the directories on the way to `path` and the node of its last component.
Node* MakePath(const char* path, uint32_t size) {
  Node* node = RootNode();
  for (uint32_t at = 0; at < size;) {
    uint32_t end = at;
    while (end < size && path[end] != '/') ++end;
    const uint32_t length = end - at;
    const bool dots =
        (length == 1 && path[at] == '.') || (length == 2 && path[at] == '.' && path[at + 1] == '.');
    if (length == 0 || length > kMaxComponent || dots) return nullptr;
    if (node->inode == nullptr &&
        (node->inode = NewInode(InodeType::kDirectory, 0755)) != nullptr) {
      node->inode->home = node;  // in /dev it is found by that
    }
    if (node->inode != nullptr && node->inode->type == InodeType::kSymlink) {
      node = FollowLink(path, at);
      if (node == nullptr) return nullptr;
    }
    if (node->inode == nullptr || node->inode->type != InodeType::kDirectory) return nullptr;
    Node* directory = node;
    node = FindOrAddChild(directory, path + at, length);
    if (node == nullptr) return nullptr;
    if (node->inode == nullptr && HasLiveMounts() && IsLive(directory)) {
      char name[kMaxComponent + 1];
      memcpy(name, path + at, length);
      name[length] = 0;
      if (ConfirmNames(directory, name) < 0) return nullptr;
    }
    at = end + 1;
  }
  return node;
}

// Nothing that is mounted counts there: it is where the agent's files and bodies of requests are.
bool IsPlain(const Node* mount) { return mount != nullptr && mount->inode->mount == kPlainMount; }

// The entry has no name any more, or another one. Whoever has the file open keeps it.
void Forget(uint32_t index) {
  Node* node = g_nodes[index];
  g_nodes[index] = nullptr;
  if (node == nullptr || node->inode == nullptr || node->inode->number != NumberOf(index)) return;
  node->inode->home = nullptr;
  UnrefInode(node->inode);
  node->inode = nullptr;
}

void Insert(const abi::FileEntry& entry, uint32_t index) {
  char path[kMostPath];
  if (entry.name_size == 0 || entry.name_size > sizeof path) return;
  memcpy(path, reinterpret_cast<const void*>(abi::kHostRegion.base + entry.name_offset),
         entry.name_size);
  for (uint32_t i = 0; i < entry.name_size; ++i) {
    if (path[i] == 0) return;
  }
  if (entry.name_size == 1 && path[0] == '/') {
    if (entry.type == abi::FileType::kDirectory) RootNode()->inode->mount = entry.mount;
    return;
  }
  Node* node = MakePath(path, entry.name_size);
  if (node == nullptr || IsPlain(MountOf(node))) return;
  // What the function made or changed itself lies above the host's file.
  if (node->inode != nullptr && node->inode->own) return;
  // A directory stays what is mounted there, whatever was changed in it since.
  if (node->inode != nullptr && entry.type == abi::FileType::kDirectory && entry.mount != 0 &&
      node->inode->mount == entry.mount) {
    return;
  }
  if (g_nodes[index] != node) Forget(index);
  const uint64_t number = NumberOf(index);
  if (node->inode != nullptr && node->inode->number == number &&
      node->inode->modified_ns == entry.modified_ns) {
    return;
  }
  Inode* inode = InodeFrom(entry, index);
  if (inode == nullptr) return;
  if (inode->mount != 0) HideBelow(node);
  if (node->inode != nullptr) {
    node->inode->home = nullptr;
    UnrefInode(node->inode);
  }
  node->inode = inode;
  inode->home = node;
  if (IsLiveMount(node)) NoteLiveMount(node);
  const Node* mount = MountOf(node);
  if (mount != nullptr && mount->inode->mount == abi::kReadOnlyMount) g_nodes[index] = node;
}

}  // namespace

void RefreshHostRegion() {
  if (!Usable()) return;
  const uint64_t names = __atomic_load_n(&Table().names, __ATOMIC_ACQUIRE);
  if (names == g_names) return;
  g_names = names;
  uint32_t used = Table().used;
  if (used > abi::kHostEntries) used = abi::kHostEntries;
  for (uint32_t i = 0; i < used; ++i) {
    abi::FileEntry entry;
    if (CopyEntry(i, &entry) && entry.name_size != 0) {
      Insert(entry, i);
    } else if (g_nodes[i] != nullptr) {
      Forget(i);
    }
  }
}

Inode* BodyInode(uint32_t index) {
  abi::FileEntry entry;
  if (!Usable() || index >= abi::kHostEntries || !CopyEntry(index, &entry)) return nullptr;
  return entry.type == abi::FileType::kRegular ? InodeFrom(entry, index) : nullptr;
}

}  // namespace usetl::kernel
