#include "guest/kernel/fs/path.h"

#include "guest/kernel/fs/host_region.h"
#include "guest/kernel/fs/image.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

constexpr int kMaxLinks = 40;

bool IsDirectory(const Node* node) {
  return node != nullptr && node->inode != nullptr && node->inode->type == InodeType::kDirectory;
}

// Whether `path` begins with a name that was mounted into a special directory. Such a node is there
// already: without memory there is none.
bool HasName(Node* directory, const char* path) {
  uint32_t size = 0;
  while (path[size] != 0 && path[size] != '/') ++size;
  if (size == 0 || size > kMaxComponent) return false;
  Node* child;
  return FindChild(directory, path, size, &child) == 0 && child != nullptr &&
         child->inode != nullptr && child->inode->home != nullptr;
}

int64_t WalkFrom(Node* base, const char* path, bool follow, int* links, Walked* walked) {
  if (*path == 0) return -ENOENT;
  Node* directory = *path == '/' ? RootNode() : base;
  walked->special = nullptr;
  walked->must_be_directory = false;
  while (*path == '/') ++path;
  const char* confirmed = path;  // what lies before it is as the host says
  if (*path == 0) {
    walked->parent = walked->node = RootNode();
    walked->last_size = 0;
    walked->last[0] = 0;
    return 0;
  }
  for (;;) {
    if (!IsDirectory(directory)) return directory->inode == nullptr ? -ENOENT : -ENOTDIR;
    uint32_t size = 0;
    while (path[size] != 0 && path[size] != '/') ++size;
    if (size > kMaxComponent) return -ENAMETOOLONG;
    const char* next = path + size;
    while (*next == '/') ++next;
    const bool last = *next == 0;
    walked->must_be_directory = last && path[size] == '/';

    Node* node;
    if (size == 1 && path[0] == '.') {
      node = directory;
    } else if (size == 2 && path[0] == '.' && path[1] == '.') {
      node = directory->parent;
    } else if (path >= confirmed && HasLiveMounts()) {
      const int64_t size_confirmed = ConfirmNames(directory, path);
      if (size_confirmed < 0) return size_confirmed;
      confirmed = path + size_confirmed;
      if (const int64_t error = FindChild(directory, path, size, &node); error != 0) return error;
    } else if (const int64_t error = FindChild(directory, path, size, &node); error != 0) {
      return error;
    }
    if (node != nullptr && node->special != nullptr && !HasName(node, next)) {
      const size_t length = strlen(next);
      if (length >= sizeof walked->rest) return -ENAMETOOLONG;
      memcpy(walked->rest, next, length + 1);
      while (walked->rest[0] != 0 && walked->rest[strlen(walked->rest) - 1] == '/') {
        walked->rest[strlen(walked->rest) - 1] = 0;
      }
      walked->special = node->special;
      walked->parent = directory;
      walked->node = node;
      return 0;
    }
    const bool link =
        node != nullptr && node->inode != nullptr && node->inode->type == InodeType::kSymlink;
    if (link && (!last || follow || walked->must_be_directory)) {
      if (++*links > kMaxLinks) return -ELOOP;
      const uint64_t rest = strlen(next);
      const uint64_t target = node->inode->size;
      if (target + 1 + rest >= kPathMax) return -ENAMETOOLONG;
      auto* joined = static_cast<char*>(Allocate(kPathMax));
      if (joined == nullptr) return -ENOMEM;
      memcpy(joined, reinterpret_cast<void*>(node->inode->address), target);
      joined[target] = last && !walked->must_be_directory ? 0 : '/';
      memcpy(joined + target + 1, next, rest + 1);
      if (last && !walked->must_be_directory) joined[target] = 0;
      const int64_t result = WalkFrom(directory, joined, follow, links, walked);
      Free(joined);
      return result;
    }
    if (last) {
      walked->parent = directory;
      walked->node = node;
      memcpy(walked->last, path, size);
      walked->last[size] = 0;
      walked->last_size = size;
      return 0;
    }
    if (node == nullptr) return -ENOENT;
    directory = node;
    path = next;
  }
}

}  // namespace

int64_t Walk(Node* base, const char* path, bool follow, Walked* walked) {
  PruneNames();
  RefreshImage();
  RefreshHostRegion();
  return WalkTree(base, path, follow, walked);
}

int64_t WalkTree(Node* base, const char* path, bool follow, Walked* walked) {
  int links = 0;
  return WalkFrom(base, path, follow, &links, walked);
}

int64_t WalkExisting(Node* base, const char* path, bool follow, Walked* walked) {
  const int64_t error = Walk(base, path, follow, walked);
  if (error != 0 || walked->special != nullptr) return error;
  if (walked->node == nullptr || walked->node->inode == nullptr) return -ENOENT;
  if (walked->must_be_directory && !IsDirectory(walked->node)) return -ENOTDIR;
  return 0;
}

}  // namespace usetl::kernel
