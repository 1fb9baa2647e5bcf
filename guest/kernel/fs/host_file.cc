#include "guest/kernel/fs/host_file.h"

#include <asm/errno.h>

#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

// Of one request. A program that reads on gets more at a time.
constexpr uint64_t kFirst = 128 << 10, kLeast = 64 << 10, kMost = 1 << 20;

// A clone takes the files of another kernel over: it goes by this number.
uint64_t g_life = 0;
HostFile* g_open = nullptr;  // those with a handle

uint64_t PageUp(uint64_t v) { return (v + abi::kPageSize - 1) & ~(abi::kPageSize - 1); }

bool SameVersion(const abi::MountedFile& a, const abi::MountedFile& b) {
  return SameHostFile(a, b) && a.size == b.size && a.modified_ns == b.modified_ns &&
         a.changed_ns == b.changed_ns;
}

// The inode's, without what was another kernel's.
HostFile& HostOf(Inode* inode) {
  HostFile& host = *inode->host;
  if (host.life != g_life) {
    host.window = {};
    host.mappings = nullptr;
    host.handle = abi::kNoHandle;
    host.reads = host.writes = false;
    host.next_open = nullptr;
    host.life = g_life;
  }
  return host;
}

void Release(HostContent* content) {
  if (content->entry != abi::kNoEntry) ReleaseEntry(content->entry);
  *content = {};
}

void CloseHandle(HostFile* host) {
  if (host->handle == abi::kNoHandle) return;
  CloseMounted(host->handle);
  host->handle = abi::kNoHandle;
  host->reads = host->writes = false;
  HostFile** link = &g_open;
  while (*link != host) link = &(*link)->next_open;
  *link = host->next_open;
}

void SetHandle(HostFile* host, uint32_t handle, bool reads, bool writes) {
  CloseHandle(host);
  host->handle = handle;
  host->reads = reads;
  host->writes = writes;
  host->next_open = g_open;
  g_open = host;
}

// What was read of open files can be read again.
void DropWindows() {
  for (HostFile* host = g_open; host != nullptr; host = host->next_open) Release(&host->window);
}

// What the last answer brought, of a file from `begin` on. False: nowhere in the region.
bool TakeContent(uint64_t begin, HostContent* content) {
  const abi::MountDone& done = LastAnswer().done;
  *content = {};
  if (done.entry == abi::kNoEntry) return true;
  const abi::Window region{0, host_page().host_region_size};
  if (!region.Contains(done.offset, done.size)) return false;
  *content = {done.entry, abi::kHostRegion.base + done.offset, begin, done.size};
  return true;
}

int64_t AskByHandle(const HostFile& host, const HostChange& change) {
  abi::MountChange record{};
  record.op = change.op;
  record.mount = host.mount;
  record.mode = change.mode;
  record.flags = change.flags;
  record.offset = change.offset;
  record.size = change.size;
  record.position = change.position;
  record.handle = host.handle;
  return AskHost(record, nullptr, 0);
}

// What changed the file, or looked at it.
int64_t AskAndUpdate(Inode* inode, const HostChange& change) {
  const int64_t error = AskByHandle(HostOf(inode), change);
  // Also of what failed half-way.
  if (LastAnswer().done.files == 1) UpdateHostFile(inode, LastAnswer().files[0]);
  return error;
}

// Reads [begin, begin + size) into `content`, less when there is less.
int64_t Fetch(Inode* inode, uint64_t begin, uint64_t size, HostContent* content,
              uint32_t flags = 0) {
  const HostChange read{.op = abi::MountOp::kRead, .size = size, .position = begin, .flags = flags};
  int64_t error = AskByHandle(*inode->host, read);
  if (error == -ENOSPC) {
    DropWindows();
    error = AskByHandle(*inode->host, read);
  }
  if (error != 0) return error == -ENOSPC ? -ENOMEM : error;
  if (LastAnswer().done.files != 1) return -EIO;
  UpdateHostFile(inode, LastAnswer().files[0]);
  return TakeContent(begin, content) ? 0 : -EIO;
}

// Makes the window begin at `offset`; it is empty when the file ends there. Behind the size that is
// known there may be more: others append, and files of /proc have no size at all.
int64_t MoveWindow(Inode* inode, uint64_t offset, uint64_t wanted) {
  HostContent& window = inode->host->window;
  const bool goes_on = window.size != 0 && offset == window.begin + window.size;
  uint64_t size = goes_on || wanted > kMost ? kMost : wanted > kLeast ? wanted : kLeast;
  if (offset < inode->size && size > inode->size - offset) size = inode->size - offset;
  Release(&window);
  const int64_t error = Fetch(inode, offset, size, &window);
  return error == -ENOMEM && size > kLeast ? Fetch(inode, offset, kLeast, &window) : error;
}

// All but one.
void DropMappings(HostFile* host, const HostMapping* kept) {
  for (HostMapping** link = &host->mappings; *link != nullptr;) {
    HostMapping* mapping = *link;
    if (mapping == kept) {
      link = &mapping->next;
      continue;
    }
    *link = mapping->next;
    Release(&mapping->content);
    Delete(mapping);
  }
}

uint32_t FlagsOf(const HostAccess& access) {
  return (access.reads ? uint32_t{abi::kMountReads} : 0) |
         (access.writes ? uint32_t{abi::kMountWrites} : 0) |
         (access.truncates ? uint32_t{abi::kMountTruncates} : 0);
}

}  // namespace

bool AttachHostFile(Inode* inode, uint32_t mount, const abi::MountedFile& file) {
  if (inode->host == nullptr) {
    inode->host = New<HostFile>();
    if (inode->host == nullptr) return false;
    inode->host->life = g_life;
  }
  inode->host->mount = mount;
  UpdateHostFile(inode, file);
  return true;
}

void UpdateHostFile(Inode* inode, const abi::MountedFile& file) {
  HostFile& host = HostOf(inode);
  // What was read of one that changes may be old already, without a sign of it.
  if (!SameVersion(host.file, file) || !host.file.settled) Release(&host.window);
  host.file = file;
  inode->mode = file.mode;
  inode->number = file.inode;
  inode->modified_ns = file.modified_ns;
  inode->changed_ns = file.changed_ns;
  if (inode->type == InodeType::kRegular) inode->size = file.size;
}

void CloseHostFile(Inode* inode, bool gone) {
  HostFile* host = &HostOf(inode);
  Release(&host->window);
  DropMappings(host, nullptr);
  CloseHandle(host);
  if (!gone) return;
  Delete(host);
  inode->host = nullptr;
}

int64_t OpenHostFile(Node* node, const HostAccess& access) {
  HostFile* host = &HostOf(node->inode);
  const bool open = host->handle != abi::kNoHandle;
  if (!host->file.settled) {
    // It may have changed since without a sign of it.
    Release(&host->window);
    for (HostMapping* m = host->mappings; m != nullptr; m = m->next) m->reusable = false;
  }
  if (open && !access.truncates && host->reads >= access.reads && host->writes >= access.writes) {
    return 0;
  }
  const HostAccess wanted{access.reads || host->reads, access.writes || host->writes,
                          access.truncates};
  const bool content = wanted.reads && !wanted.writes && !open;
  const uint64_t first = host->file.size < kFirst ? host->file.size : kFirst;
  HostChange change{.op = abi::MountOp::kOpen, .size = content ? first : 0};
  change.flags = FlagsOf(wanted);
  int64_t error = AskAbout(node, "", change);
  if (error == -ENOSPC && change.size != 0) {
    change.size = 0;
    error = AskAbout(node, "", change);
  }
  if (error != 0) return error;
  const HostAnswer& answer = LastAnswer();
  const uint32_t handle = answer.done.handle;
  HostContent read;
  if (answer.done.files != 1 || !TakeContent(0, &read)) return -EIO;
  if (!SetLiveInode(node, answer.files[0], nullptr)) {
    CloseMounted(handle);
    Release(&read);
    return -ENOMEM;
  }
  host = node->inode->host;  // perhaps of another file by now
  SetHandle(host, handle, wanted.reads, wanted.writes);
  Release(&host->window);
  host->window = read;
  return 0;
}

bool IsOpenHostFile(Inode* inode) {
  return inode->host != nullptr && HostOf(inode).handle != abi::kNoHandle;
}

void TakeHandle(Inode* inode, uint32_t handle) {
  SetHandle(&HostOf(inode), handle, /*reads=*/true, /*writes=*/true);
}

int64_t ReadHostFile(Inode* inode, void* user, uint64_t size, uint64_t offset) {
  const HostContent& window = inode->host->window;
  // Behind the end it is asked each time, before it only for what is not here.
  bool ask = offset >= inode->size;
  uint64_t done = 0;
  while (done < size) {
    const uint64_t at = offset + done;
    if (ask || at < window.begin || at >= window.begin + window.size) {
      if (done != 0 && at >= inode->size) break;
      ask = false;
      const int64_t error = MoveWindow(inode, at, size - done);
      if (error != 0) return done != 0 ? static_cast<int64_t>(done) : error;
      if (window.size == 0) break;
    }
    const uint64_t there = window.begin + window.size - at;
    const uint64_t piece = size - done < there ? size - done : there;
    const auto* from = reinterpret_cast<const void*>(window.address + (at - window.begin));
    if (!CopyToUser(static_cast<uint8_t*>(user) + done, from, piece)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    done += piece;
  }
  return static_cast<int64_t>(done);
}

int64_t WriteHostFile(Inode* inode, const void* user, uint64_t size, uint64_t offset, bool append) {
  uint64_t done = 0;
  while (done < size) {
    uint64_t piece = size - done < kMost ? size - done : kMost;
    uint64_t range = AllocateRange(PageUp(piece));
    if (range == 0 && piece > abi::kPageSize) {
      piece = abi::kPageSize;
      range = AllocateRange(piece);
    }
    uint64_t written = 0;
    int64_t error = range == 0 ? -ENOSPC : 0;
    if (error == 0 &&
        !CopyFromUser(GuestRegionAt(range), static_cast<const uint8_t*>(user) + done, piece)) {
      error = -EFAULT;
    }
    if (error == 0) {
      HostChange write{.op = abi::MountOp::kWrite, .offset = range, .size = piece};
      write.position = offset + done;
      if (append) write.flags = abi::kMountAppend;
      error = AskAndUpdate(inode, write);
      if (error == 0) written = LastAnswer().done.size;
      Release(&inode->host->window);
    }
    if (range != 0) FreeRange(range, PageUp(piece));
    if (error != 0) return done != 0 ? static_cast<int64_t>(done) : error;
    done += written < piece ? written : piece;
    if (written < piece) break;
  }
  return static_cast<int64_t>(done);
}

int64_t TruncateHostFile(Inode* inode, uint64_t size) {
  const int64_t error = AskAndUpdate(inode, {.op = abi::MountOp::kTruncate, .position = size});
  Release(&inode->host->window);
  return error;
}

int64_t ChangeHostFile(Inode* inode, const HostChange& change) {
  HostChange opened = change;
  opened.flags |= abi::kMountOpened;
  return AskAndUpdate(inode, opened);
}

int64_t RefreshHostFile(Inode* inode) { return AskAndUpdate(inode, {.op = abi::MountOp::kRead}); }

int64_t MapHostFile(Inode* inode, uint64_t offset, bool shared, MapSource* source) {
  HostFile& host = *inode->host;
  if (shared && host.writes) return -ENODEV;
  if (const int64_t error = RefreshHostFile(inode); error != 0) return error;
  HostMapping* mapping = host.mappings;
  while (mapping != nullptr && !(mapping->reusable && SameVersion(mapping->file, host.file))) {
    mapping = mapping->next;
  }
  if (inode->pins == 0) DropMappings(&host, mapping);  // nobody looks at them any more
  if (mapping == nullptr) {
    if (offset >= inode->size) return -ENXIO;
    HostContent all;
    if (const int64_t error = Fetch(inode, 0, inode->size, &all, abi::kMountMaps); error != 0)
      return error;
    mapping = New<HostMapping>(HostMapping{host.mappings, all, host.file, host.file.settled != 0});
    if (mapping == nullptr) {
      Release(&all);
      return -ENOMEM;
    }
    host.mappings = mapping;
  }
  const HostContent& content = mapping->content;
  if (offset >= content.size) return -ENXIO;
  *source = {content.address + offset, content.size - offset, /*writable=*/false, /*kept=*/true};
  return 0;
}

int64_t SyncHostFile(const Inode* inode) {
  return AskByHandle(*inode->host, {.op = abi::MountOp::kSync});
}

int64_t SpaceOfHostFile(Inode* inode) {
  return AskByHandle(HostOf(inode), {.op = abi::MountOp::kSpace, .flags = abi::kMountOpened});
}

void ForgetHostFiles() {
  ++g_life;
  g_open = nullptr;
}

}  // namespace usetl::kernel
