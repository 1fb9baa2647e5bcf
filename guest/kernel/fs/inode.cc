#include "guest/kernel/fs/inode.h"

#include <asm/errno.h>

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/sparse.h"
#include "guest/kernel/host/clock.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kLargest = 1ull << 40;
uint64_t g_next_number = 1ull << 40;  // above those of packs and the host region

uint64_t PageUp(uint64_t v) { return (v + abi::kPageSize - 1) & ~(abi::kPageSize - 1); }

abi::FileEntry EntryOf(const Inode& inode) {
  abi::FileEntry entry{};
  entry.type = inode.type == InodeType::kRegular     ? abi::FileType::kRegular
               : inode.type == InodeType::kDirectory ? abi::FileType::kDirectory
                                                     : abi::FileType::kSymlink;
  entry.mode = inode.mode;
  entry.uid = inode.uid;
  entry.gid = inode.gid;
  // A file with holes is published up to the first.
  entry.size = inode.size < inode.capacity ? inode.size : inode.capacity;
  entry.offset = inode.offset;
  entry.capacity = inode.capacity;
  entry.modified_ns = inode.modified_ns;
  return entry;
}

int64_t WriteWithHoles(Inode* inode, const void* user, uint64_t size, uint64_t offset) {
  if (const int64_t error = EnsureWritable(inode, inode->size); error != 0) return error;
  const int64_t put = WriteSparse(inode, user, size, offset);
  if (put <= 0) return put;
  const uint64_t end = offset + static_cast<uint64_t>(put);
  if (end > inode->size) inode->size = end;
  EndSparse(inode);
  Touch(inode);
  PublishInode(inode, nullptr);
  return put;
}

}  // namespace

Inode* NewInode(InodeType type, uint16_t mode) {
  Inode* inode = New<Inode>();
  if (inode == nullptr) return nullptr;
  inode->type = type;
  inode->mode = mode;
  inode->number = g_next_number++;
  inode->modified_ns = inode->changed_ns = Realtime();
  return inode;
}

void RefInode(Inode* inode) { ++inode->references; }

void UnrefInode(Inode* inode) {
  if (--inode->references != 0) {
    const bool only_named = inode->references == 1 && inode->home != nullptr;
    if (inode->host != nullptr && only_named) CloseHostFile(inode, /*gone=*/false);
    return;
  }
  if (inode->host != nullptr) CloseHostFile(inode, /*gone=*/true);
  if (inode->own) FreeRange(inode->offset, inode->capacity);
  FreeExtents(inode);
  if (inode->slot >= 0) FreeSlot(inode->slot);
  // A link's target is kernel memory, unless it is the pack's.
  if (inode->type == InodeType::kSymlink && abi::kKernelPages.Contains(inode->address, 1)) {
    Free(reinterpret_cast<void*>(inode->address));
  }
  Delete(inode);
}

void FillStat(const Inode& inode, Stat* stat) {
  *stat = {};
  constexpr uint64_t kOwnDevice = 1;
  stat->device = kOwnDevice + (inode.host != nullptr ? inode.host->mount + 1 : 0);
  stat->inode = inode.number;
  stat->links = inode.host != nullptr && inode.home != nullptr ? inode.host->file.links
                : inode.type == InodeType::kDirectory          ? 2
                                                               : inode.links;
  const uint32_t kind = inode.type == InodeType::kRegular     ? kStatModeRegular
                        : inode.type == InodeType::kDirectory ? kStatModeDirectory
                        : inode.type == InodeType::kSymlink   ? kStatModeLink
                                                              : kStatModeSocket;
  stat->mode = kind | inode.mode;
  stat->uid = inode.uid;
  stat->gid = inode.gid;
  stat->size = inode.type == InodeType::kDirectory ? 4096 : static_cast<int64_t>(inode.size);
  stat->block_size = 4096;
  const uint64_t room = inode.sparse ? SparseRoom(inode) : inode.size;
  const uint64_t blocks = inode.host != nullptr ? inode.host->file.blocks : (room + 511) / 512;
  stat->blocks = static_cast<int64_t>(blocks);
  constexpr uint64_t kSecond = 1'000'000'000;
  stat->modify_seconds = inode.modified_ns / kSecond;
  stat->modify_ns = inode.modified_ns % kSecond;
  const uint64_t accessed = inode.accessed_ns != 0 ? inode.accessed_ns : inode.modified_ns;
  stat->access_seconds = accessed / kSecond;
  stat->access_ns = accessed % kSecond;
  stat->change_seconds = inode.changed_ns / kSecond;
  stat->change_ns = inode.changed_ns % kSecond;
}

void Touch(Inode* inode) { inode->modified_ns = inode->changed_ns = Realtime(); }

int64_t EnsureWritable(Inode* inode, uint64_t size) {
  if (size > kLargest) return -EFBIG;
  if (inode->own && size <= inode->capacity) return 0;
  if (inode->sparse && size <= inode->size) return 0;
  // With holes that are being filled, what lies here ends before the size.
  const uint64_t content =
      inode->own && inode->capacity < inode->size ? inode->capacity : inode->size;
  uint64_t wanted = PageUp(size > inode->size ? size : inode->size);
  if (inode->own && inode->capacity != 0) {
    // Doubling keeps appends cheap; a region that is nearly full gives what it has.
    uint64_t doubled = inode->capacity * 2 > wanted ? inode->capacity * 2 : wanted;
    if (ExtendRange(inode->offset, inode->capacity, doubled - inode->capacity)) {
      inode->capacity = doubled;
      return 0;
    }
    if (ExtendRange(inode->offset, inode->capacity, wanted - inode->capacity)) {
      inode->capacity = wanted;
      return 0;
    }
    if (inode->pins != 0) return -ENOSPC;
    const uint64_t moved = AllocateRange(doubled);
    if (moved != 0) wanted = doubled;
    const uint64_t at = moved != 0 ? moved : AllocateRange(wanted);
    if (at == 0) return -ENOSPC;
    memcpy(GuestRegionAt(at), GuestRegionAt(inode->offset), content);
    FreeRange(inode->offset, inode->capacity);
    inode->offset = at;
  } else {
    if (!inode->own && inode->slot < 0 && (inode->slot = TakeSlot()) < 0) return -ENOSPC;
    uint64_t at = 0;
    if (wanted != 0 && (at = AllocateRange(wanted)) == 0) return -ENOSPC;
    if (content != 0) memcpy(GuestRegionAt(at), reinterpret_cast<void*>(inode->address), content);
    inode->offset = at;
  }
  inode->own = true;
  inode->capacity = wanted;
  inode->address = wanted == 0 ? 0 : reinterpret_cast<uint64_t>(GuestRegionAt(inode->offset));
  return 0;
}

int64_t TruncateInode(Inode* inode, uint64_t size) {
  if (inode->host != nullptr) return TruncateHostFile(inode, size);
  if (const int64_t error = MayChangeFile(inode); error != 0) return error;
  if (size > kLargest) return -EFBIG;
  if (size == 0 && !inode->own) inode->size = 0;  // nothing worth copying up
  const bool holes = inode->sparse || LeavesHole(*inode, size);
  if (const int64_t error = EnsureWritable(inode, holes ? inode->size : size); error != 0) {
    return error;
  }
  if (holes) {
    TruncateSparse(inode, size);
  } else if (size < inode->size) {
    memset(GuestRegionAt(inode->offset + size), 0, inode->size - size);
  }
  inode->size = size;
  Touch(inode);
  PublishInode(inode, nullptr);
  return ChangeFile(inode, {.op = abi::MountOp::kTruncate, .position = size});
}

int64_t WriteInode(Inode* inode, const void* user, uint64_t size, uint64_t offset) {
  if (size == 0) return 0;
  if (offset > kLargest || size > kLargest) return -EFBIG;
  if (const int64_t refused = MayChangeFile(inode); refused != 0) return refused;
  uint64_t end = offset + size;
  if (inode->sparse || LeavesHole(*inode, offset)) {
    return WriteWithHoles(inode, user, size, offset);
  }
  int64_t error = EnsureWritable(inode, end);
  // A file that is mapped cannot move to where it would fit: what is new lies elsewhere.
  if (error == -ENOSPC && inode->own && inode->pins != 0 && !IsOfHost(inode->home)) {
    return WriteWithHoles(inode, user, size, offset);
  }
  if (error == -ENOSPC && inode->own && offset < inode->capacity) {
    end = inode->capacity;  // what still fits, as a full disk does
    size = end - offset;
  } else if (error != 0) {
    return error;
  }
  if (!CopyFromUser(GuestRegionAt(inode->offset + offset), user, size)) {
    // What came of it beyond the end is not the file's.
    const uint64_t begin = offset > inode->size ? offset : inode->size;
    if (begin < end) memset(GuestRegionAt(inode->offset + begin), 0, end - begin);
    return -EFAULT;
  }
  if (end > inode->size) inode->size = end;
  Touch(inode);
  PublishInode(inode, nullptr);
  error = ChangeFile(inode, {.op = abi::MountOp::kWrite,
                             .offset = inode->offset + offset,
                             .size = size,
                             .position = offset});
  return error != 0 ? error : static_cast<int64_t>(size);
}

int64_t ReadInode(Inode* inode, void* user, uint64_t size, uint64_t offset) {
  if (inode->host != nullptr) return ReadHostFile(inode, user, size, offset);
  if (inode->sparse) return ReadSparse(*inode, user, size, offset);
  if (offset >= inode->size) return 0;
  if (size > inode->size - offset) size = inode->size - offset;
  return CopyToUser(user, reinterpret_cast<void*>(inode->address + offset), size)
             ? static_cast<int64_t>(size)
             : -EFAULT;
}

void PublishInode(Inode* inode, const char* path) {
  if (!inode->own || inode->slot < 0) return;
  if (path != nullptr) {
    PublishSlot(inode->slot, EntryOf(*inode), path);
  } else {
    UpdateSlot(inode->slot, EntryOf(*inode));
  }
}

}  // namespace usetl::kernel
