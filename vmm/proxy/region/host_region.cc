#include "vmm/proxy/region/host_region.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace usetl {
namespace {

// Above it a body starts on a 2 MB page, so that the guest maps it with few entries.
constexpr uint64_t kLargeBody = 64 << 10;
constexpr uint64_t kSmallestWindow = 64 << 10;

uint64_t RoundUp(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

uint64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

HostRegion::HostRegion(uint8_t* base, uint64_t size, bool huge)
    : base_(base), size_(size), huge_(huge) {
  free_.Reset(data_base(), size_);
}

uint64_t HostRegion::data_base() const { return abi::TableBytes(abi::kHostEntries); }

void HostRegion::Format() {
  abi::FileTable& t = table();
  t.region_size = size_;
  t.capacity = abi::kHostEntries;
  t.used = 0;
  t.data_base = data_base();
  t.generation = t.names = 1;
  __atomic_store_n(&t.magic, abi::kFileTableMagic, __ATOMIC_RELEASE);
  used_ = 0;
  first_free_ = 0;
  live_bodies_ = 0;
  books_.clear();
  names_.clear();
  retired_.clear();
  free_.Reset(data_base(), size_);
  ++epoch_;
}

void HostRegion::Reset() {
  for (uint32_t slot = 0; slot < used_; ++slot) {
    if (books_[slot].slot != Slot::kFree) Write(slot, abi::FileEntry{});
  }
  NamesChanged();
  books_.clear();
  names_.clear();
  retired_.clear();
  first_free_ = 0;
  live_bodies_ = 0;
  free_.Reset(data_base(), size_);
  ++epoch_;
}

uint64_t HostRegion::AlignFor(uint64_t size) const {
  return huge_ && size > kLargeBody ? abi::kHugePageSize : abi::kPageSize;
}

Result<uint32_t> HostRegion::FreeSlot() {
  while (first_free_ < books_.size() && books_[first_free_].slot != Slot::kFree) ++first_free_;
  if (first_free_ == abi::kHostEntries) return Status(ENOSPC, "the host region's table is full");
  if (first_free_ == books_.size()) books_.emplace_back();
  return first_free_;
}

void HostRegion::Write(uint32_t slot, abi::FileEntry entry) {
  abi::FileEntry& target = table().entries[slot];
  const uint64_t odd = target.sequence | 1;
  __atomic_store_n(&target.sequence, odd, __ATOMIC_RELAXED);
  // The reader must not see new fields under the old, even sequence.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  entry.sequence = odd;
  target = entry;
  __atomic_store_n(&target.sequence, odd + 1, __ATOMIC_RELEASE);
  if (slot >= used_) {
    used_ = slot + 1;
    __atomic_store_n(&table().used, used_, __ATOMIC_RELEASE);
  }
  __atomic_store_n(&table().generation, table().generation + 1, __ATOMIC_RELEASE);
}

void HostRegion::NamesChanged() {
  __atomic_store_n(&table().names, table().names + 1, __ATOMIC_RELEASE);
}

Result<BodyCursor> HostRegion::ReserveFile(std::string_view path, uint64_t size) {
  if (size > size_) return Status(ENOSPC, "the host region is full");
  const uint64_t room =
      RoundUp(std::max<uint64_t>(size, 1), abi::kPageSize) + RoundUp(path.size(), abi::kPageSize);
  const bool large = size >= abi::kHugePageSize / 2;
  std::optional<uint64_t> place;
  if (large) place = free_.Take(room, AlignFor(size));
  if (!place) place = free_.Take(room, abi::kPageSize);
  if (!place) return Status(ENOSPC, "the host region is full");
  BodyCursor cursor;
  cursor.region_ = this;
  cursor.epoch_ = epoch_;
  cursor.offset_ = *place;
  cursor.capacity_ = room;
  return cursor;
}

Status HostRegion::AddEntry(std::string_view path, BodyCursor content, abi::FileType type,
                            uint16_t mode, uint32_t mount) {
  while (path.size() > 1 && path.front() == '/') path.remove_prefix(1);
  if (path.empty() || path.size() > abi::kMaxHostName || path.find('\0') != path.npos ||
      (path == "/" && type != abi::FileType::kDirectory)) {
    return Status(EINVAL, "bad name of a file of the function");
  }
  if (names_.contains(path)) return Status(EINVAL, std::string(path) + ": given twice");
  Result<uint32_t> slot = FreeSlot();
  if (!slot.ok()) return slot.status();
  Result<abi::FileEntry> entry = Finish(path, &content, &books_[*slot]);
  if (!entry.ok()) return entry.status();
  entry->type = type;
  entry->mode = mode;
  entry->mount = mount;
  names_.emplace(path, *slot);
  Write(*slot, *entry);
  NamesChanged();
  return Status();
}

Result<abi::FileEntry> HostRegion::Finish(std::string_view path, BodyCursor* content, Book* book) {
  // The name lies in the content's last page when it fits behind it, else in a page of its own.
  abi::FileEntry entry{};
  entry.size = content->size();
  const uint64_t in_use = RoundUp(entry.size, abi::kPageSize);
  uint64_t room = in_use;
  if (in_use - entry.size < path.size()) room += abi::kPageSize;
  USETL_RETURN_IF_ERROR(content->Grow(room));
  entry.offset = content->offset_;
  entry.capacity = in_use;
  entry.modified_ns = RealtimeNs();
  entry.name_offset = content->offset_ + (room == in_use ? room - path.size() : in_use);
  entry.name_size = static_cast<uint32_t>(path.size());
  std::memcpy(base_ + entry.name_offset, path.data(), path.size());
  free_.Give(content->offset_ + room, content->capacity_ - room);
  *book = {Slot::kFile, content->offset_, room};
  content->region_ = nullptr;
  return entry;
}

Status HostRegion::AddFile(std::string_view path, std::span<const uint8_t> content, uint16_t mode) {
  Result<BodyCursor> cursor = ReserveFile(path, content.size());
  if (!cursor.ok()) return cursor.status();
  USETL_RETURN_IF_ERROR(cursor->Append(content));
  return AddEntry(path, std::move(*cursor), abi::FileType::kRegular, mode, 0);
}

Status HostRegion::AddFileFrom(std::string_view path, int fd, uint64_t offset, uint64_t size,
                               uint16_t mode, uint32_t mount) {
  Result<BodyCursor> cursor = ReserveFile(path, size);
  if (!cursor.ok()) return cursor.status();
  while (cursor->size() < size) {
    const ssize_t count = pread(fd, cursor->data() + cursor->size(), size - cursor->size(),
                                static_cast<off_t>(offset + cursor->size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Status::Errno(std::string(path));
    if (count == 0) return Status(EPROTO, std::string(path) + ": the file is shorter than said");
    cursor->Advance(static_cast<uint64_t>(count));
  }
  return AddEntry(path, std::move(*cursor), abi::FileType::kRegular, mode, mount);
}

Status HostRegion::AddDirectory(std::string_view path, uint16_t mode, uint32_t mount) {
  Result<BodyCursor> cursor = ReserveFile(path, 0);
  if (!cursor.ok()) return cursor.status();
  return AddEntry(path, std::move(*cursor), abi::FileType::kDirectory, mode, mount);
}

Result<BodyCursor> HostRegion::WriteTarget(std::string_view path, std::string_view target) {
  Result<BodyCursor> cursor = ReserveFile(path, target.size());
  if (!cursor.ok()) return cursor.status();
  USETL_RETURN_IF_ERROR(
      cursor->Append({reinterpret_cast<const uint8_t*>(target.data()), target.size()}));
  return cursor;
}

Status HostRegion::AddLink(std::string_view path, std::string_view target) {
  Result<BodyCursor> cursor = WriteTarget(path, target);
  if (!cursor.ok()) return cursor.status();
  return AddEntry(path, std::move(*cursor), abi::FileType::kSymlink, 0777, 0);
}

void HostRegion::BeginUpdate() {
  for (const Book& book : retired_) free_.Give(book.offset, book.capacity);
  retired_.clear();
}

std::vector<std::string> HostRegion::NamesBelow(std::string_view path) const {
  const std::string prefix = std::string(path) + "/";
  std::vector<std::string> names;
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->first.starts_with(prefix);
       ++it) {
    names.push_back(it->first);
  }
  return names;
}

Status HostRegion::ReplaceLink(std::string_view path, std::string_view target) {
  Result<BodyCursor> cursor = WriteTarget(path, target);
  if (!cursor.ok()) return cursor.status();
  const uint32_t slot = names_.find(path)->second;
  const Book before = books_[slot];
  Result<abi::FileEntry> entry = Finish(path, &*cursor, &books_[slot]);
  if (!entry.ok()) return entry.status();
  entry->type = abi::FileType::kSymlink;
  entry->mode = 0777;
  Write(slot, *entry);
  NamesChanged();
  retired_.push_back(before);
  return Status();
}

void HostRegion::Remove(std::string_view path) {
  const auto name = names_.find(path);
  if (name == names_.end()) return;
  const uint32_t slot = name->second;
  names_.erase(name);
  retired_.push_back(books_[slot]);
  books_[slot] = {};
  first_free_ = std::min(first_free_, slot);
  Write(slot, abi::FileEntry{});
  NamesChanged();
}

Result<BodyCursor> HostRegion::Reserve(uint64_t size_hint) {
  BodyCursor cursor;
  cursor.region_ = this;
  cursor.epoch_ = epoch_;
  Status status = cursor.Grow(std::max<uint64_t>(size_hint, 1));
  if (!status.ok()) return status;
  return cursor;
}

Result<BodyCursor> HostRegion::ReserveWindow(uint64_t wanted) {
  // Half of what is free at most, so that other bodies still find room.
  uint64_t size = std::max(wanted, abi::kPageSize);
  while (size > kSmallestWindow && size > free_.free() / 2) size /= 2;
  for (;;) {
    Result<BodyCursor> cursor = Reserve(size);
    if (cursor.ok() || size <= kSmallestWindow) return cursor;
    size /= 2;
  }
}

void HostRegion::Release(uint32_t entry) {
  if (entry >= books_.size() || books_[entry].slot != Slot::kBody) return;
  const Book book = books_[entry];
  books_[entry] = {};
  first_free_ = std::min(first_free_, entry);
  --live_bodies_;
  Write(entry, abi::FileEntry{});
  free_.Give(book.offset, book.capacity);
}

}  // namespace usetl
