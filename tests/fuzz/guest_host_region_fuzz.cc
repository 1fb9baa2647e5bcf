// The guest kernel's reader of the host region, at the addresses of the layout: any table is
// refused or gives files within the region. What lies outside of it is not mapped.
#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>

#include "guest/kernel/fs/host_region.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/node.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "vmm/abi/file_table.h"

namespace {

constexpr uint64_t kRegionSize = 256 << 10;

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

void MapAt(uint64_t address, uint64_t size) {
  void* at = reinterpret_cast<void*>(address);
  Require(mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
               -1, 0) == at);
}

// All bytes of what an inode names can be read and are bytes of the region.
void CheckInode(const usetl::kernel::Inode& inode) {
  const usetl::abi::Window region{usetl::abi::kHostRegion.base, kRegionSize};
  if (inode.type == usetl::kernel::InodeType::kDirectory || inode.size == 0) return;
  Require(region.Contains(inode.address, inode.size));
  volatile uint8_t sink;
  const auto* bytes = reinterpret_cast<const volatile uint8_t*>(inode.address);
  for (uint64_t at = 0; at < inode.size; at += 64) sink = bytes[at];
  sink = bytes[inode.size - 1];
  (void)sink;
}

// The tree of names that the reader fills, in place of node.cc.
struct Tree {
  std::deque<usetl::kernel::Node> nodes;
  std::map<std::pair<usetl::kernel::Node*, std::string>, usetl::kernel::Node*> children;
  usetl::kernel::Node* Add(usetl::kernel::Node* parent) {
    nodes.emplace_back();
    nodes.back().parent = parent;
    return &nodes.back();
  }
} g_tree;

}  // namespace

namespace usetl::kernel {

void* Allocate(size_t size) { return std::malloc(size); }
void Free(void* pointer) { std::free(pointer); }
Inode* NewInode(InodeType type, uint16_t mode) {
  Inode* inode = New<Inode>();
  inode->type = type;
  inode->mode = mode;
  return inode;
}
void UnrefInode(Inode* inode) {
  if (--inode->references == 0) Delete(inode);
}
Node* RootNode() { return &g_tree.nodes.front(); }
Node* FindOrAddChild(Node* directory, const char* name, uint32_t size) {
  const std::string text(name, size);
  Require(size != 0 && size <= kMaxComponent && text != "." && text != ".." &&
          text.find('/') == text.npos && text.find('\0') == text.npos);
  Node*& child = g_tree.children[{directory, text}];
  if (child == nullptr) child = g_tree.Add(directory);
  return child;
}
void HideBelow(Node* directory) {
  for (Node& node : g_tree.nodes) {
    bool below = false;
    for (const Node* n = &node; n != RootNode() && !below; n = n->parent) {
      below = n->parent == directory;
    }
    if (!below || node.inode == nullptr) continue;
    node.inode->home = nullptr;
    UnrefInode(node.inode);
    node.inode = nullptr;
  }
}
// The region makes links only where the packs have none: one leads to the root.
int64_t WalkExisting(Node*, const char* path, bool, Walked* walked) {
  walked->node = std::strlen(path) % 2 == 0 ? RootNode() : nullptr;
  return walked->node != nullptr ? 0 : -ENOENT;
}
int64_t AskHost(const abi::MountChange&, const void*, uint32_t) { return 0; }
// What is below mounted directories is another matter.
bool HasLiveMounts() { return false; }
void NoteLiveMount(Node*) {}
bool IsLive(Node*) { return false; }
bool IsLiveMount(const Node* node) { return IsMount(node); }
int64_t ConfirmNames(Node*, const char*) { return 0; }

}  // namespace usetl::kernel

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl;  // NOLINT
  static const bool mapped = [] {
    MapAt(abi::kControl.base, abi::kControl.size);
    MapAt(abi::kHostRegion.base, kRegionSize);
    return true;
  }();
  (void)mapped;
  auto* base = reinterpret_cast<uint8_t*>(abi::kHostRegion.base);
  std::memset(base, 0, kRegionSize);
  const size_t table = size < kRegionSize / 2 ? size : kRegionSize / 2;
  std::memcpy(base, data, table);
  // Names and content lie further back; the table itself may also be named.
  for (uint64_t at = kRegionSize / 2; at + size <= kRegionSize && size != 0; at += size) {
    std::memcpy(base + at, data, size);
  }
  auto* header = reinterpret_cast<abi::FileTable*>(base);
  static uint64_t names = 0;
  if (size > 0 && data[size - 1] % 8 != 0) header->magic = abi::kFileTableMagic;
  header->names = ++names;
  kernel::host_page().host_region_size = kRegionSize;

  g_tree.nodes.clear();
  g_tree.children.clear();
  g_tree.Add(nullptr)->inode = kernel::NewInode(kernel::InodeType::kDirectory, 0755);
  kernel::RefreshHostRegion();
  for (kernel::Node& node : g_tree.nodes) {
    if (node.inode == nullptr) continue;
    CheckInode(*node.inode);
    kernel::UnrefInode(node.inode);
  }
  for (uint32_t i = 0; i < abi::kHostEntries + 2; ++i) {
    kernel::Inode* inode = kernel::BodyInode(i);
    if (inode == nullptr) continue;
    CheckInode(*inode);
    kernel::UnrefInode(inode);
  }
  return 0;
}
