#include "guest/kernel/fs/sparse.h"

#include <asm/errno.h>

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "vmm/abi/layout.h"

namespace usetl::kernel {

// The bytes [begin, end) of the file, whole pages, sorted, none within the inode's own range. What
// is beyond the file's size is zero.
struct Extent {
  Extent* next;
  uint64_t begin, end;
  uint64_t offset;  // within the guest region
};

namespace {

constexpr uint64_t kSmallestHole = 64 << 10;  // smaller ones are not worth an extent
constexpr uint64_t kPage = abi::kPageSize;

uint64_t PageUp(uint64_t v) { return (v + kPage - 1) & ~(kPage - 1); }

// The bytes at `at`, which reach until *end; null: a hole.
uint8_t* Locate(const Inode& inode, uint64_t at, uint64_t* end) {
  if (at < inode.capacity) {
    *end = inode.capacity;
    return GuestRegionAt(inode.offset + at);
  }
  for (const Extent* extent = inode.extents; extent != nullptr; extent = extent->next) {
    if (at < extent->begin) {
      *end = extent->begin;
      return nullptr;
    }
    if (at < extent->end) {
      *end = extent->end;
      return GuestRegionAt(extent->offset + (at - extent->begin));
    }
  }
  *end = ~0ull;
  return nullptr;
}

// Lengthens what ends at `begin`, [offset, offset + length), by `least` bytes, or by more when that
// is cheap for what follows; not beyond `limit` bytes. By how much; 0: there is no room behind it.
uint64_t Lengthen(uint64_t offset, uint64_t length, uint64_t least, uint64_t limit) {
  constexpr uint64_t kMostAhead = 1 << 20;
  uint64_t more = length < kMostAhead ? length : kMostAhead;
  if (more > limit) more = limit;
  if (more > least && ExtendRange(offset, length, more)) return more;
  return ExtendRange(offset, length, least) ? least : 0;
}

// Makes room at `at`, for what lies before `end` or a part of it. REQUIRES: a hole there.
bool AddRoom(Inode* inode, uint64_t at, uint64_t end) {
  Extent* before = nullptr;
  Extent** link = &inode->extents;
  while (*link != nullptr && (*link)->end <= at) {
    before = *link;
    link = &before->next;
  }
  const uint64_t begin = at & ~(kPage - 1);
  const uint64_t limit = (*link != nullptr ? (*link)->begin : ~0ull & ~(kPage - 1)) - begin;
  uint64_t size = PageUp(end) - begin < limit ? PageUp(end) - begin : limit;
  if (before != nullptr && before->end == begin) {
    const uint64_t more = Lengthen(before->offset, before->end - before->begin, size, limit);
    before->end += more;
    if (more != 0) return true;
  } else if (begin == inode->capacity && begin != 0) {
    const uint64_t more = Lengthen(inode->offset, inode->capacity, size, limit);
    inode->capacity += more;
    if (more != 0) return true;
  }
  uint64_t offset;
  while ((offset = AllocateRange(size)) == 0) {
    if (size == kPage) return false;
    size = PageUp(size / 2);
  }
  if (begin == 0 && inode->capacity == 0) {
    inode->offset = offset;
    inode->capacity = size;
    inode->address = reinterpret_cast<uint64_t>(GuestRegionAt(offset));
    return true;
  }
  Extent* extent = New<Extent>(Extent{*link, begin, begin + size, offset});
  if (extent == nullptr) {
    FreeRange(offset, size);
    return false;
  }
  *link = extent;
  return true;
}

// Lets go of what is beyond `size`, and makes zeros of the rest of its page.
void DropBeyond(Inode* inode, uint64_t size) {
  if (size < inode->capacity) {
    memset(GuestRegionAt(inode->offset + size), 0, inode->capacity - size);
  }
  const uint64_t kept = PageUp(size);
  for (Extent** link = &inode->extents; *link != nullptr;) {
    Extent* extent = *link;
    if (extent->begin >= size) {
      *link = extent->next;
      FreeRange(extent->offset, extent->end - extent->begin);
      Delete(extent);
      continue;
    }
    if (kept < extent->end) {
      FreeRange(extent->offset + (kept - extent->begin), extent->end - kept);
      extent->end = kept;
    }
    if (size < extent->end) {
      memset(GuestRegionAt(extent->offset + (size - extent->begin)), 0, extent->end - size);
    }
    link = &extent->next;
  }
}

}  // namespace

bool LeavesHole(const Inode& inode, uint64_t offset) {
  const uint64_t used = inode.size > inode.capacity ? inode.size : inode.capacity;
  return offset > used + kSmallestHole && !IsOfHost(inode.home);
}

int64_t ReadSparse(const Inode& inode, void* user, uint64_t size, uint64_t offset) {
  if (offset >= inode.size) return 0;
  if (size > inode.size - offset) size = inode.size - offset;
  uint64_t done = 0;
  while (done < size) {
    uint64_t end;
    const uint8_t* data = Locate(inode, offset + done, &end);
    uint64_t chunk = end - (offset + done);
    if (chunk > size - done) chunk = size - done;
    auto* to = static_cast<uint8_t*>(user) + done;
    if (!(data != nullptr ? CopyToUser(to, data, chunk) : ZeroUser(to, chunk))) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    done += chunk;
  }
  return static_cast<int64_t>(done);
}

int64_t WriteSparse(Inode* inode, const void* user, uint64_t size, uint64_t offset) {
  inode->sparse = true;
  uint64_t done = 0;
  while (done < size) {
    const uint64_t at = offset + done;
    uint64_t end;
    uint8_t* data = Locate(*inode, at, &end);
    if (data == nullptr) {
      if (!AddRoom(inode, at, offset + size)) break;
      data = Locate(*inode, at, &end);
    }
    const uint64_t chunk = size - done < end - at ? size - done : end - at;
    if (!CopyFromUser(data, static_cast<const uint8_t*>(user) + done, chunk)) {
      DropBeyond(inode, inode->size > at ? inode->size : at);  // what came of it is not the file's
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    done += chunk;
  }
  return done != 0 || size == 0 ? static_cast<int64_t>(done) : -ENOSPC;
}

int64_t ReserveSparse(Inode* inode, uint64_t offset, uint64_t end) {
  // All or nothing: what a part of it took would be missing everywhere else.
  uint64_t missing = 0;
  for (uint64_t at = offset, next; at < end; at = next) {
    const bool hole = Locate(*inode, at, &next) == nullptr;
    if (next > end) next = end;
    if (hole) missing += next - at;
  }
  if (missing > GuestRegionFree()) return -ENOSPC;
  for (uint64_t at = offset; at < end;) {
    uint64_t next;
    if (Locate(*inode, at, &next) == nullptr) {
      if (!AddRoom(inode, at, end)) return -ENOSPC;
      continue;
    }
    at = next;
  }
  return 0;
}

void TruncateSparse(Inode* inode, uint64_t size) {
  DropBeyond(inode, size);
  inode->size = size;
  inode->sparse = size > inode->capacity;
}

void EndSparse(Inode* inode) {
  if (inode->extents == nullptr && inode->size <= inode->capacity) inode->sparse = false;
}

uint64_t FindData(const Inode& inode, uint64_t offset) {
  uint64_t end;
  while (offset < inode.size && Locate(inode, offset, &end) == nullptr) offset = end;
  return offset < inode.size ? offset : inode.size;
}

uint64_t FindHole(const Inode& inode, uint64_t offset) {
  uint64_t end;
  while (offset < inode.size && Locate(inode, offset, &end) != nullptr) offset = end;
  return offset < inode.size ? offset : inode.size;
}

uint64_t SparseRoom(const Inode& inode) {
  uint64_t room = inode.capacity;
  for (const Extent* extent = inode.extents; extent != nullptr; extent = extent->next) {
    room += extent->end - extent->begin;
  }
  return room;
}

int64_t FillHoles(Inode* inode) {
  if (!inode->sparse) return 0;
  inode->sparse = false;
  if (const int64_t error = EnsureWritable(inode, inode->size); error != 0) {
    inode->sparse = true;
    return error;
  }
  for (const Extent* extent = inode->extents; extent != nullptr; extent = extent->next) {
    // The last one may have been made for more than the file has by now.
    const uint64_t end = extent->end < inode->capacity ? extent->end : inode->capacity;
    if (extent->begin >= end) break;
    memcpy(GuestRegionAt(inode->offset + extent->begin), GuestRegionAt(extent->offset),
           end - extent->begin);
  }
  FreeExtents(inode);
  PublishInode(inode, nullptr);
  return 0;
}

void FreeExtents(Inode* inode) {
  while (Extent* extent = inode->extents) {
    inode->extents = extent->next;
    FreeRange(extent->offset, extent->end - extent->begin);
    Delete(extent);
  }
}

}  // namespace usetl::kernel
