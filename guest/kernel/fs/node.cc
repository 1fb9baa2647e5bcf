#include "guest/kernel/fs/node.h"

#include <asm/errno.h>

#include "guest/kernel/fs/pack.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

constexpr uint32_t kBuckets = 4096;
Node* g_buckets[kBuckets];
Node* g_root = nullptr;

uint32_t HashOf(const Node* parent, const char* name, uint32_t size) {
  uint64_t hash = reinterpret_cast<uint64_t>(parent) * 0x9e3779b97f4a7c15;
  for (uint32_t i = 0; i < size; ++i) hash = (hash ^ static_cast<uint8_t>(name[i])) * 0x100000001b3;
  return static_cast<uint32_t>(hash >> 32 ^ hash);
}

Node* NewNode(Node* parent, const char* name, uint32_t size, uint32_t hash) {
  auto* node = static_cast<Node*>(Allocate(sizeof(Node) + size + 1));
  if (node == nullptr) return nullptr;
  new (node) Node{parent};
  node->hash = hash;
  node->name_size = static_cast<uint16_t>(size);
  memcpy(node->name, name, size);
  node->name[size] = 0;
  node->next_hash = g_buckets[hash % kBuckets];
  g_buckets[hash % kBuckets] = node;
  if (parent != nullptr) {
    node->next_sibling = parent->first_child;
    parent->first_child = node;
  }
  return node;
}

void Unhash(Node* node) {
  Node** link = &g_buckets[node->hash % kBuckets];
  while (*link != node) link = &(*link)->next_hash;
  *link = node->next_hash;
}

Node* LookUp(Node* directory, const char* name, uint32_t size, uint32_t hash) {
  for (Node* node = g_buckets[hash % kBuckets]; node != nullptr; node = node->next_hash) {
    if (node->hash == hash && node->parent == directory && node->name_size == size &&
        memcmp(node->name, name, size) == 0) {
      return node;
    }
  }
  return nullptr;
}

// The place to go on at when the one at `i` hides what is below.
uint32_t AfterHidden(const PackPlace* places, uint32_t count, uint32_t i) {
  const uint32_t tree = places[i].tree;
  while (i < count && places[i].tree == tree) ++i;
  return i;
}

// Fills a fresh node from the packs below its directory; it stays negative when none has the name.
// False: out of memory; it is as it was.
bool FillFromPacks(Node* node) {
  static Found found;
  FindInPacks(node->parent->lower.places, node->parent->lower.count, *node, &found);
  if (found.top.pack == kNoEntry) return true;
  Inode* inode = InodeFromPack(found.top.pack, found.top.entry);
  if (inode == nullptr) return false;
  if (!SetLower(node, found.directories, found.count)) {
    UnrefInode(inode);
    return false;
  }
  node->inode = inode;
  return true;
}

constexpr uint32_t kMostSpecials = 4;
Node* g_specials[kMostSpecials];
uint32_t g_special_count = 0;

// Whether it is a special directory, or on the way to one.
bool LeadsToSpecial(const Node* node) {
  for (uint32_t i = 0; i < g_special_count; ++i) {
    for (const Node* n = g_specials[i]; n != g_root; n = n->parent) {
      if (n == node) return true;
    }
  }
  return false;
}

// Without what is below. False: it stays.
bool HideOne(Node* node) {
  if (node->special == nullptr) {
    node->lower.count = 0;
    node->complete = true;
  }
  if (LeadsToSpecial(node)) return false;
  if (node->inode == nullptr) return true;
  node->inode->home = nullptr;
  UnrefInode(node->inode);
  node->inode = nullptr;
  return true;
}

}  // namespace

Node* RootNode() { return g_root; }

void FindInPacks(const PackPlace* places, uint32_t count, const Node& name, Found* found) {
  found->top = {kNoEntry, kNoEntry, kRuntimeTree};
  found->count = 0;
  for (uint32_t next = 0; next < count && found->count < kMostPlaces;) {
    const uint32_t at = next++;
    PackPlace place = places[at];
    place.entry = PackChild(place.pack, place.entry, name.name, name.name_size);
    if (place.entry == kNoEntry) continue;
    const abi::PackType type = PackEntryAt(place.pack, place.entry).type;
    if (type != abi::PackType::kDirectory) next = AfterHidden(places, count, at);
    if (type == abi::PackType::kWhiteout) continue;
    if (found->top.pack == kNoEntry) found->top = place;
    if (type == abi::PackType::kDirectory || type == abi::PackType::kOpaqueDirectory) {
      found->directories[found->count++] = place;
    } else if (found->count == 0) {
      return;  // a file, over whatever is below
    }
  }
}

bool SetLower(Node* node, const PackPlace* places, uint32_t count, const Lower& below) {
  const uint32_t all = count + below.count;
  Lower lower;
  if (all != 0) {
    lower.places = static_cast<PackPlace*>(Allocate(all * sizeof(PackPlace)));
    if (lower.places == nullptr) return false;
    memcpy(lower.places, places, count * sizeof(PackPlace));
    memcpy(lower.places + count, below.places, below.count * sizeof(PackPlace));
    lower.count = all;
  }
  node->lower = lower;
  return true;
}

void MakeNeededDirectories() {
  const char* const needed[] = {"dev", "proc", "tmp", "run", "function", "root"};
  for (const char* name : needed) {
    Node* node = FindOrAddChild(g_root, name, static_cast<uint32_t>(strlen(name)));
    if (node == nullptr) OutOfMemory("the root directory");
    if (node->inode == nullptr) node->inode = NewInode(InodeType::kDirectory, 0755);
  }
}

void InitNodes() {
  g_root = NewNode(nullptr, "", 0, 0);
  g_root->parent = g_root;
  g_root->inode = NewInode(InodeType::kDirectory, 0755);
  PackPlace places[kMostPlaces];
  uint32_t count = 0;
  for (uint32_t pack = PackCount(); pack-- > 0;) {
    places[count++] = {pack, 0, kRuntimeTree};
    // The root may be opaque too.
    if (PackEntryAt(pack, 0).type == abi::PackType::kOpaqueDirectory) break;
  }
  if (!SetLower(g_root, places, count)) Panic("no memory for the root directory");
  MakeNeededDirectories();
}

int64_t FindChild(Node* directory, const char* name, uint32_t size, Node** child) {
  const uint32_t hash = HashOf(directory, name, size);
  *child = LookUp(directory, name, size, hash);
  if (*child != nullptr || directory->complete || directory->lower.count == 0) return 0;
  // Negative answers of packs are not kept: a program asks for many names that never exist.
  const Lower& lower = directory->lower;
  bool known = false;
  for (uint32_t i = 0; i < lower.count && !known; ++i) {
    known = PackChild(lower.places[i].pack, lower.places[i].entry, name, size) != kNoEntry;
  }
  if (!known) return 0;
  Node* node = NewNode(directory, name, size, hash);
  if (node == nullptr) return -ENOMEM;
  if (!FillFromPacks(node)) {
    // A negative node would say from now on that the name is gone.
    directory->first_child = node->next_sibling;
    Unhash(node);
    Free(node);
    return -ENOMEM;
  }
  *child = node;
  return 0;
}

Node* FindOrAddChild(Node* directory, const char* name, uint32_t size) {
  Node* node;
  if (FindChild(directory, name, size, &node) != 0) return nullptr;
  return node != nullptr ? node : NewNode(directory, name, size, HashOf(directory, name, size));
}

bool CompleteDirectory(Node* directory) {
  if (directory->complete) return true;
  const Lower lower = directory->lower;
  for (uint32_t i = 0; i < lower.count; ++i) {
    const uint32_t pack = lower.places[i].pack;
    const abi::PackEntry& d = PackEntryAt(pack, lower.places[i].entry);
    for (uint64_t child = 0; child < d.size; ++child) {
      const abi::PackEntry& e = PackEntryAt(pack, static_cast<uint32_t>(d.offset + child));
      const char* name = PackText(pack, e.name_offset);
      Node* made;
      if (FindChild(directory, name, e.name_size, &made) != 0) return false;
    }
  }
  directory->complete = true;
  return true;
}

bool HasChildren(Node* directory) {
  if (!CompleteDirectory(directory)) return true;
  for (Node* child = directory->first_child; child != nullptr; child = child->next_sibling) {
    if (child->inode != nullptr) return true;
  }
  return false;
}

void ForgetNode(Node* node) {
  Node** link = &node->parent->first_child;
  while (*link != node) link = &(*link)->next_sibling;
  *link = node->next_sibling;
  Unhash(node);
  Free(node);
}

void MoveNode(Node* node, Node* target) {
  target->inode = node->inode;
  target->inode->home = target;
  target->lower = node->lower;
  target->complete = node->complete;
  node->inode = nullptr;
  node->lower.count = 0;
  node->complete = true;
  // Children are found through their parent's address: they are hashed anew.
  Node* stale = target->first_child;  // negative names of a directory that was replaced
  while (stale != nullptr) {
    Node* next = stale->next_sibling;
    Unhash(stale);
    // One that is in use, or above one that may be, is lost until the rollback.
    if (stale->users == 0 && stale->first_child == nullptr) Free(stale);
    stale = next;
  }
  target->first_child = node->first_child;
  node->first_child = nullptr;
  for (Node* child = target->first_child; child != nullptr; child = child->next_sibling) {
    Unhash(child);
    child->parent = target;
    child->hash = HashOf(target, child->name, child->name_size);
    child->next_hash = g_buckets[child->hash % kBuckets];
    g_buckets[child->hash % kBuckets] = child;
  }
}

const Node* NextBelow(const Node* node, const Node* top) {
  if (node->first_child != nullptr) return node->first_child;
  while (node != top && node->next_sibling == nullptr) node = node->parent;
  return node == top ? nullptr : node->next_sibling;
}

void SetSpecial(Node* node, SpecialDirectory* special) {
  if (g_special_count == kMostSpecials) Panic("too many special directories");
  node->special = special;
  g_specials[g_special_count++] = node;
}

void HideBelow(Node* directory) {
  directory->lower.count = 0;
  directory->complete = true;
  for (const Node* next = NextBelow(directory, directory); next != nullptr;
       next = NextBelow(next, directory)) {
    HideOne(const_cast<Node*>(next));
  }
}

bool Hide(Node* node) {
  HideBelow(node);
  return HideOne(node);
}

int64_t PathOf(const Node* node, char* buffer, uint64_t size) {
  uint64_t length = 0;
  for (const Node* n = node; n != g_root; n = n->parent) length += n->name_size + 1;
  if (length == 0) length = 1;
  if (length + 1 > size) return -ERANGE;
  buffer[length] = 0;
  buffer[0] = '/';
  uint64_t at = length;
  for (const Node* n = node; n != g_root; n = n->parent) {
    at -= n->name_size;
    memcpy(buffer + at, n->name, n->name_size);
    buffer[--at] = '/';
  }
  return static_cast<int64_t>(length);
}

}  // namespace usetl::kernel
