#include "guest/kernel/fs/root.h"

#include "guest/kernel/file/devices.h"
#include "guest/kernel/fs/body.h"
#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/host_region.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/operations.h"
#include "guest/kernel/fs/process_directory.h"
#include "guest/kernel/fs/sparse.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

Node* g_current_directory = nullptr;

bool Is(const char* a, const char* b) {
  const size_t length = strlen(b);
  return strlen(a) == length && memcmp(a, b, length) == 0;
}

int64_t DirectoryStat(Stat* stat) {
  *stat = {};
  stat->mode = kStatModeDirectory | 0755;
  stat->links = 2;
  stat->inode = 1;
  stat->block_size = 4096;
  return 0;
}

// /dev
class DeviceDirectory final : public SpecialDirectory {
 public:
  int64_t Open(const char* rest, int flags, File** file) override {
    if (rest[0] == 0 || Is(rest, "usetl")) {
      *file = NewSpecialDirectoryFile(this, rest);
      return *file == nullptr ? -ENOMEM : 0;
    }
    return OpenDevice(rest, flags, file);
  }
  int64_t GetStat(const char* rest, bool, Stat* stat) override {
    if (rest[0] == 0 || Is(rest, "usetl")) return DirectoryStat(stat);
    File* file;
    if (const int64_t error = OpenDevice(rest, 0, &file); error != 0) return error;
    const int64_t result = file->GetStat(stat);
    file->Unref();
    return result;
  }
  int64_t ReadLink(const char*, char*, uint64_t) override { return -EINVAL; }
  const char* List(const char* rest, uint64_t index, uint8_t* type) override {
    constexpr uint8_t kCharacterDevice = 2;
    *type = kCharacterDevice;
    return index < 32 ? DeviceName(rest[0] != 0, static_cast<uint32_t>(index)) : nullptr;
  }
};

// /run/usetl/body: response bodies by entry number.
class BodyDirectory final : public SpecialDirectory {
 public:
  int64_t Open(const char* rest, int flags, File** file) override {
    constexpr int kAccess = 3;
    if (rest[0] == 0) {
      *file = NewSpecialDirectoryFile(this, rest);
      return *file == nullptr ? -ENOMEM : 0;
    }
    if (flags & kAccess) return -EACCES;
    Inode* inode = Find(rest);
    if (inode == nullptr) return -ENOENT;
    *file = NewRegularFile(inode, nullptr);
    UnrefInode(inode);
    return *file == nullptr ? -ENOMEM : 0;
  }
  int64_t GetStat(const char* rest, bool, Stat* stat) override {
    if (rest[0] == 0) return DirectoryStat(stat);
    Inode* inode = Find(rest);
    if (inode == nullptr) return -ENOENT;
    FillStat(*inode, stat);
    UnrefInode(inode);
    return 0;
  }
  int64_t ReadLink(const char*, char*, uint64_t) override { return -EINVAL; }
  const char* List(const char*, uint64_t, uint8_t*) override { return nullptr; }

 private:
  static Inode* Find(const char* rest) {
    uint32_t entry = 0;
    for (const char* c = rest; *c != 0; ++c) {
      if (*c < '0' || *c > '9' || entry > 100'000) return nullptr;
      entry = entry * 10 + static_cast<uint32_t>(*c - '0');
    }
    return BodyInode(entry);
  }
};

DeviceDirectory g_devices;
BodyDirectory g_bodies;

Node* MakeDirectories(const char* const* names) {
  Node* node = RootNode();
  for (; *names != nullptr; ++names) {
    node = FindOrAddChild(node, *names, static_cast<uint32_t>(strlen(*names)));
    if (node == nullptr) Panic("out of memory at boot");
    if (node->inode == nullptr) node->inode = NewInode(InodeType::kDirectory, 0755);
  }
  return node;
}

int64_t CopyContent(Inode* from, uint64_t size, Inode* to) {
  if (from->host == nullptr) {
    return WriteInode(to, reinterpret_cast<void*>(from->address), size, 0);
  }
  if (const int64_t error = EnsureWritable(to, size); error != 0) return error;
  to->size = size;
  return ReadHostFile(from, GuestRegionAt(to->offset), size, 0);
}

}  // namespace

void InitRoot() {
  InitNodes();
  FormatGuestRegion();
  const char* const dev[] = {"dev", nullptr};
  const char* const proc[] = {"proc", nullptr};
  const char* const results[] = {"run", "usetl", nullptr};
  const char* const body[] = {"run", "usetl", "body", nullptr};
  const char* const function[] = {"function", nullptr};
  SetSpecial(MakeDirectories(dev), &g_devices);
  SetSpecial(MakeDirectories(proc), ProcessDirectory());
  MakeDirectories(results)->inode->mount = kPlainMount;
  SetSpecial(MakeDirectories(body), &g_bodies);
  g_current_directory = MakeDirectories(function);
  ++g_current_directory->users;
}

Node* CurrentDirectory() { return g_current_directory; }
void SetCurrentDirectory(Node* node) {
  ++node->users;
  --g_current_directory->users;
  g_current_directory = node;
}

int64_t OpenForExec(const char* path, File** file) {
  constexpr int kExecute = 1;
  Node* base = CurrentDirectory();
  if (const int64_t error = CheckAccess(base, path, kExecute, true); error != 0) return error;
  if (const int64_t error = OpenPath(base, path, 0, 0, file); error != 0) return error;
  Stat stat;
  const bool regular =
      (*file)->GetStat(&stat) == 0 && (stat.mode & kStatModeMask) == kStatModeRegular;
  if (!regular) (*file)->Unref();
  return regular ? 0 : -EACCES;
}

int64_t PinBody(File* file, uint64_t size, File** pinned, uint64_t* offset) {
  Inode* inode = InodeOf(file);
  if (inode == nullptr || size > inode->size) return -EINVAL;
  if (inode->own) {
    if (const int64_t error = FillHoles(inode); error != 0) return error;
    file->Ref();
  } else {
    File* copy = NewNamelessFile(0600);
    if (copy == nullptr) return -ENOSPC;
    const int64_t put = CopyContent(inode, size, InodeOf(copy));
    if (put != static_cast<int64_t>(size)) {
      copy->Unref();
      return put < 0 ? put : -ENOSPC;
    }
    file = copy;
    inode = InodeOf(copy);
  }
  ++inode->pins;
  *pinned = file;
  *offset = inode->offset;
  return 0;
}

void UnpinBody(File* pinned) {
  --InodeOf(pinned)->pins;
  pinned->Unref();
}

int64_t OpenBodyWindow(BodyWindow* window) {
  // Two pieces of the agent's size in flight and two being filled.
  constexpr uint64_t kWindow = 512 << 10;
  File* file = NewNamelessFile(0600);
  if (file == nullptr) return -ENOSPC;
  Inode* inode = InodeOf(file);
  if (const int64_t error = EnsureWritable(inode, kWindow); error != 0) {
    file->Unref();
    return error;
  }
  ++inode->pins;
  *window = {file, GuestRegionAt(inode->offset), inode->offset, kWindow};
  return 0;
}

void CloseBodyWindow(BodyWindow* window) {
  if (window->file != nullptr) UnpinBody(window->file);
  *window = {};
}

}  // namespace usetl::kernel
