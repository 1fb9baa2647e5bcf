#include "guest/kernel/fs/space.h"

#include <asm/errno.h>

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

constexpr int64_t kReadOnlyFlag = 1;  // ST_RDONLY

int64_t OwnSpace(StatFs* info) {
  *info = {};
  info->type = 0x01021994;  // as tmpfs
  info->block_size = info->fragment_size = 4096;
  info->blocks = GuestRegionTotal() / 4096;
  info->free = info->available = GuestRegionFree() / 4096;
  info->files = info->free_files = abi::kGuestEntries;
  info->name_length = kMaxComponent;
  return 0;
}

// What the last answer brought.
int64_t TakeSpace(StatFs* info) {
  const HostAnswer& answer = LastAnswer();
  abi::MountedSpace space;
  if (answer.done.text_size != sizeof space) return -EIO;
  memcpy(&space, answer.text, sizeof space);
  // Programs multiply and divide by them.
  if (space.block_size == 0) return -EIO;
  *info = {};
  info->type = static_cast<int64_t>(space.type);
  info->flags = static_cast<int64_t>(space.flags);
  info->block_size = static_cast<int64_t>(space.block_size);
  info->fragment_size =
      static_cast<int64_t>(space.fragment_size != 0 ? space.fragment_size : space.block_size);
  info->blocks = space.blocks;
  info->free = space.free;
  info->available = space.available;
  info->files = space.files;
  info->free_files = space.free_files;
  info->name_length =
      static_cast<int64_t>(space.name_length < kMaxComponent ? space.name_length : kMaxComponent);
  return 0;
}

int64_t LiveSpace(Node* node, StatFs* info) {
  constexpr HostChange kSpace{.op = abi::MountOp::kSpace};
  int64_t error = AskAbout(node, "", kSpace);
  // The way to a mount is here only.
  if (error == -ENOENT && HasMountBelow(node)) error = AskAbout(MountOf(node), "", kSpace);
  if (error == 0) error = TakeSpace(info);
  if (error == 0 && MayChange(node) != 0) info->flags |= kReadOnlyFlag;
  return error;
}

}  // namespace

int64_t SpaceOfPath(Node* base, const char* path, StatFs* info) {
  Walked walked;
  if (const int64_t error = WalkExisting(base, path, /*follow=*/true, &walked); error != 0) {
    return error;
  }
  if (walked.special != nullptr) {
    Stat stat;
    const int64_t error = walked.special->GetStat(walked.rest, /*follow=*/true, &stat);
    return error != 0 ? error : OwnSpace(info);
  }
  return IsLive(walked.node) ? LiveSpace(walked.node, info) : OwnSpace(info);
}

int64_t SpaceOfFile(File* file, StatFs* info) {
  if (Node* directory = DirectoryOf(file); directory != nullptr && IsLive(directory)) {
    return LiveSpace(directory, info);
  }
  Inode* inode = InodeOf(file);
  if (inode == nullptr || !IsOpenHostFile(inode)) return OwnSpace(info);
  if (const int64_t error = SpaceOfHostFile(inode); error != 0) return error;
  if (const int64_t error = TakeSpace(info); error != 0) return error;
  if (MayChangeFile(inode) != 0) info->flags |= kReadOnlyFlag;
  return 0;
}

}  // namespace usetl::kernel
