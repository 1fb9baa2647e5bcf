// node.h: names. One node per name that was ever looked up: a cache over the packs and the truth
// for everything else.
//
// Layers: a node is made from the highest layer that has the name; names that are gone stay as
// negative nodes, so that a lower layer does not show through. Nodes are never freed while their
// directory may exist in a pack; below mounted directories (live.h) those that nobody uses may go.
#ifndef USETL_GUEST_KERNEL_FS_NODE_H_
#define USETL_GUEST_KERNEL_FS_NODE_H_

#include <cstdint>

#include "guest/kernel/fs/inode.h"
#include "vmm/abi/control.h"

namespace usetl::kernel {

class SpecialDirectory;

// Of a directory: an image's /bin and its /usr/bin may be one.
inline constexpr uint32_t kMostPlaces = abi::kMaxPacks + 2 * abi::kMaxImagePacks;
inline constexpr uint32_t kNoEntry = ~0u;
inline constexpr uint64_t kMaxComponent = 255;

// Where a directory is in one of the packs. A whiteout or an opaque directory counts within its
// tree: the runtime's, an image's, or what an image has where the runtime has a link.
inline constexpr uint32_t kRuntimeTree = 0;
struct PackPlace {
  uint32_t pack;
  uint32_t entry;
  uint32_t tree;
};

// Which packs a directory exists in, highest layer first. The places stay once they are made.
struct Lower {
  uint32_t count = 0;
  PackPlace* places = nullptr;
};

struct Node {
  Node* parent;
  Node* first_child = nullptr;
  Node* next_sibling = nullptr;
  Node* next_hash = nullptr;
  Inode* inode = nullptr;               // null: the name does not exist (negative)
  SpecialDirectory* special = nullptr;  // serves everything below (dev, proc)
  Lower lower;                          // directories only
  bool complete = false;                // all children of the packs are nodes
  uint32_t hash = 0;
  uint32_t users = 0;  // open files, the working directory: it must not go
  uint16_t name_size = 0;
  char name[];  // zero-terminated
};

// What packs have under one name.
struct Found {
  PackPlace top;                       // the highest that has it; pack is kNoEntry: none has
  PackPlace directories[kMostPlaces];  // where it is a directory, highest first
  uint32_t count;
};
// Looks in the first `count` of `places`. What an image removes are files of its lower layers:
// never the runtime's, which its builder did not see.
void FindInPacks(const PackPlace* places, uint32_t count, const Node& name, Found* found);
// Makes `places`, then `below`, the node's. False: out of memory.
bool SetLower(Node* node, const PackPlace* places, uint32_t count, const Lower& below = {});

// Builds the root and directories that every program expects. REQUIRES: packs and regions mapped.
void InitNodes();
Node* RootNode();
// The directories that every program expects, where no pack has them.
void MakeNeededDirectories();

// The child of that name, perhaps negative; null when there is none. 0 or -ENOMEM.
int64_t FindChild(Node* directory, const char* name, uint32_t size, Node** child);
// The same, made when missing: a negative node. Null: out of memory.
Node* FindOrAddChild(Node* directory, const char* name, uint32_t size);
// Makes nodes of all names of the packs, for listings. False: out of memory.
bool CompleteDirectory(Node* directory);
// True: some name in it exists.
bool HasChildren(Node* directory);
// Frees the node. REQUIRES: it is negative, has no children and no users.
void ForgetNode(Node* node);
// Moves `node`'s inode and children to the negative node `target` (rename).
void MoveNode(Node* node, Node* target);
// The node after `node` in the tree below `top`, parents first; null: it was the last.
const Node* NextBelow(const Node* node, const Node* top);
// Serves everything below the node, which stays for good.
void SetSpecial(Node* node, SpecialDirectory* special);
// All names below it are gone, those of packs too; but special directories stay, and the way to
// them.
void HideBelow(Node* directory);
// The same for the node itself. False: it stays, a special directory is in it.
bool Hide(Node* node);

// Absolute path of a node into `buffer`; returns its length, or -ERANGE.
int64_t PathOf(const Node* node, char* buffer, uint64_t size);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_NODE_H_
