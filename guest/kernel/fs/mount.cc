#include "guest/kernel/fs/mount.h"

#include <asm/errno.h>

#include "guest/kernel/fs/path.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/bytes.h"
#include "vmm/abi/file_table.h"

namespace usetl::kernel {
namespace {

bool g_frozen = false;

// Nothing sleeps between its filling and the host's answer.
char g_text[2 * kPathMax];
uint32_t g_text_size = 0;

bool Append(const char* text, uint64_t size, uint64_t limit) {
  if (g_text_size + size > limit) return false;
  memcpy(g_text + g_text_size, text, size);
  g_text_size += static_cast<uint32_t>(size);
  return true;
}

// The path below `mount` of `name` in `directory`, or of `directory` itself when `name` is empty,
// behind what g_text has. Returns its length, or -ENAMETOOLONG.
int64_t AppendPath(const Node* mount, const Node* directory, const char* name) {
  const uint32_t begin = g_text_size;
  const uint64_t limit = begin + abi::kMaxName;
  uint32_t depth = 0;
  for (const Node* n = directory; n != mount; n = n->parent) ++depth;
  for (; depth > 0; --depth) {
    const Node* n = directory;
    for (uint32_t i = 1; i < depth; ++i) n = n->parent;
    if (!Append(n->name, n->name_size, limit) || !Append("/", 1, limit)) return -ENAMETOOLONG;
  }
  if (!Append(name, strlen(name), limit)) return -ENAMETOOLONG;
  if (*name == 0 && g_text_size != begin) --g_text_size;  // the last slash
  return g_text_size - begin;
}

// `to`: the other directory of a rename, whose name there is `change.text`; else null.
int64_t Ask(Node* directory, const char* name, const HostChange& change, Node* to) {
  const Node* mount = MountOf(directory);
  g_text_size = 0;
  const int64_t path = AppendPath(mount, directory, name);
  if (path < 0) return path;
  int64_t text = static_cast<int64_t>(strlen(change.text));
  if (to != nullptr) {
    text = AppendPath(mount, to, change.text);
    if (text < 0) return text;
  } else if (!Append(change.text, static_cast<uint64_t>(text), path + abi::kMaxName)) {
    return -ENAMETOOLONG;
  }
  abi::MountChange record{};
  record.op = change.op;
  record.mount = MountNumber(mount);
  record.mode = change.mode;
  record.path_size = static_cast<uint32_t>(path);
  record.text_size = static_cast<uint32_t>(text);
  record.flags = change.flags;
  record.offset = change.offset;
  record.size = change.size;
  record.position = change.position;
  record.handle = abi::kNoHandle;
  return AskHost(record, g_text, g_text_size);
}

int64_t Change(Node* directory, const char* name, const HostChange& change, Node* to) {
  if (!IsOfHost(directory)) return 0;
  if (const int64_t error = MayChange(directory); error != 0) return error;
  return Ask(directory, name, change, to);
}

}  // namespace

bool IsMount(const Node* node) {
  return node != nullptr && node->inode != nullptr && node->inode->mount != 0;
}

uint32_t MountNumber(const Node* mount) { return (mount->inode->mount & ~abi::kReadOnlyBit) - 1; }

Node* MountOf(Node* node) {
  if (node == nullptr) return nullptr;
  while (!IsMount(node)) {
    if (node == RootNode()) return nullptr;
    node = node->parent;
  }
  return node;
}

bool IsOfHost(Node* node) {
  const Node* mount = MountOf(node);
  return mount != nullptr && mount->inode->mount != kPlainMount;
}

int64_t MayChange(Node* node) {
  if (!IsOfHost(node)) return 0;
  // All bits of kReadOnlyMount are set.
  return g_frozen || (MountOf(node)->inode->mount & abi::kReadOnlyBit) != 0 ? -EROFS : 0;
}

int64_t MayChangeFile(const Inode* inode) {
  if (inode->home != nullptr) return MayChange(inode->home);
  // Packs' files have a name but no home; nothing that is mounted shows one, but for the root.
  return inode->links != 0 ? MayChange(RootNode()) : 0;
}

int64_t MayMove(Node* node, Node* directory, Node* there) {
  if (IsMount(node) || IsMount(there)) return -EBUSY;
  if (MountOf(node) != MountOf(directory)) return -EXDEV;
  return MayChange(node);
}

int64_t ChangeName(Node* directory, const char* name, const HostChange& change) {
  return Change(directory, name, change, nullptr);
}

int64_t ChangeNode(Node* node, const HostChange& change) {
  return Change(node, "", change, nullptr);
}

int64_t RenameOnHost(Node* node, Node* directory, const char* name) {
  return Change(node, "", {.op = abi::MountOp::kRename, .text = name}, directory);
}

int64_t AskAbout(Node* directory, const char* path, const HostChange& question) {
  return Ask(directory, path, question, nullptr);
}

int64_t ChangeFile(Inode* inode, const HostChange& change) {
  if (inode->home == nullptr) return MayChangeFile(inode);
  return Change(inode->home, "", change, nullptr);
}

void FreezeMounts() { g_frozen = true; }

}  // namespace usetl::kernel
