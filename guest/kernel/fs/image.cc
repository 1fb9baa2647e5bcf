#include "guest/kernel/fs/image.h"

#include <initializer_list>

#include "guest/kernel/fs/node.h"
#include "guest/kernel/fs/pack.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

uint32_t g_packs = 0;  // of the image, that are in the tree

[[noreturn]] void NoMemory() { OutOfMemory("the list of the image's files"); }

bool Is(const Node* node, InodeType type) {
  return node->inode != nullptr && node->inode->type == type;
}

void PutInode(Node* node, const PackPlace& place) {
  Inode* inode = InodeFromPack(place.pack, place.entry);
  if (inode == nullptr) NoMemory();
  if (node->inode != nullptr) {
    inode->mount = node->inode->mount;  // /run/usetl
    node->inode->home = nullptr;
    UnrefInode(node->inode);
  }
  node->inode = inode;
}

void LayOverChildren(Node* directory, uint32_t count);

// `count` places of the image over a directory that stays.
void LayOver(Node* directory, const PackPlace* places, uint32_t count) {
  if (!SetLower(directory, places, count, directory->lower)) NoMemory();
  directory->complete = false;
  LayOverChildren(directory, count);
}

// Images are made without a look at the runtime: their /bin is the one that its /bin leads to. Not
// inlined: the stack of LayOverChild() shall stay small.
[[gnu::noinline]] bool LayOverLink(Node* link, Found* found) {
  Walked walked;
  if (link->parent != RootNode() || !Is(link, InodeType::kSymlink) || found->count == 0 ||
      WalkTree(RootNode(), link->name, /*follow=*/true, &walked) != 0 ||
      walked.special != nullptr || walked.node == nullptr ||
      !Is(walked.node, InodeType::kDirectory)) {
    return false;
  }
  const Lower& below = walked.node->lower;
  const uint32_t tree = below.count != 0 ? below.places[0].tree + 1 : kRuntimeTree + 1;
  for (uint32_t i = 0; i < found->count; ++i) found->directories[i].tree = tree;
  LayOver(walked.node, found->directories, found->count);
  return true;
}

// A node that was made before the image came.
void LayOverChild(Node* node, const PackPlace* places, uint32_t count) {
  static Found found;  // not used any more where this calls itself
  FindInPacks(places, count, *node, &found);
  if (found.top.pack == kNoEntry || LayOverLink(node, &found)) return;
  const bool directory = found.count != 0;
  const bool merges = directory && Is(node, InodeType::kDirectory);
  if (!merges && !Hide(node) && !directory) return;  // the kernel needs what it has there
  PutInode(node, found.top);
  if (!directory) return;
  if (!SetLower(node, found.directories, found.count, node->lower)) NoMemory();
  node->complete = false;
  LayOverChildren(node, found.count);
}

// The first `count` places of the directory are the image's. Links come last: what the image lays
// through /bin has to find all of its /usr/bin, and lies over that.
void LayOverChildren(Node* directory, uint32_t count) {
  for (const bool links : {false, true}) {
    for (Node* child = directory->first_child; child != nullptr; child = child->next_sibling) {
      if (child->special == nullptr && Is(child, InodeType::kSymlink) == links) {
        LayOverChild(child, directory->lower.places, count);
      }
    }
  }
}

// So that LayOverLink() sees the links of the runtime.
void FindLinks(const PackPlace& root) {
  const abi::PackEntry& directory = PackEntryAt(root.pack, root.entry);
  for (uint64_t i = 0; i < directory.size; ++i) {
    const abi::PackEntry& e = PackEntryAt(root.pack, static_cast<uint32_t>(directory.offset + i));
    Node* made;
    if (FindChild(RootNode(), PackText(root.pack, e.name_offset), e.name_size, &made) != 0) {
      NoMemory();
    }
  }
}

}  // namespace

void RefreshImage() {
  const uint32_t packs = ImagePackCount();
  if (packs == g_packs) return;
  g_packs = packs;
  PackPlace places[abi::kMaxImagePacks];
  uint32_t count = 0;
  for (uint32_t pack = PackCount() + packs; pack-- > PackCount();) {
    places[count++] = {pack, 0, kRuntimeTree + 1};
    FindLinks(places[count - 1]);
    // An opaque root hides the layers below, not the runtime.
    if (PackEntryAt(pack, 0).type == abi::PackType::kOpaqueDirectory) break;
  }
  LayOver(RootNode(), places, count);
  MakeNeededDirectories();
}

}  // namespace usetl::kernel
