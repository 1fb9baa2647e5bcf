#include "vmm/proxy/region/host_region.h"

#include <time.h>

#include <algorithm>
#include <cstring>

namespace usetl {
namespace {

uint64_t Up(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Status Full() { return Status(ENOSPC, "the host region is full"); }

}  // namespace

HostRegion::HostRegion(uint8_t* base, uint64_t size, bool huge)
    : base_(base), size_(size), huge_(huge), entries_(abi::kHostEntries) {
  const uint64_t begin = abi::TableBytes(abi::kHostEntries);
  free_[begin] = size;
  free_bytes_ = size - begin;
}

void HostRegion::Format() {
  abi::FileTable& t = table();
  t.region_size = size_;
  t.capacity = abi::kHostEntries;
  t.used = 0;
  t.data_base = abi::TableBytes(abi::kHostEntries);
  t.generation = 1;
  __atomic_store_n(&t.magic, abi::kFileTableMagic, __ATOMIC_RELEASE);
}

uint64_t HostRegion::Allocate(uint64_t bytes, uint64_t align) {
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const auto [begin, end] = *it;
    const uint64_t at = Up(begin, align);
    if (at > end || end - at < bytes) continue;
    free_.erase(it);
    if (at != begin) free_[begin] = at;
    if (at + bytes != end) free_[at + bytes] = end;
    free_bytes_ -= bytes;
    return at;
  }
  return 0;
}

bool HostRegion::Extend(uint64_t offset, uint64_t bytes, uint64_t more) {
  const auto it = free_.find(offset + bytes);
  if (it == free_.end() || it->second - it->first < more) return false;
  const uint64_t end = it->second;
  free_.erase(it);
  if (offset + bytes + more != end) free_[offset + bytes + more] = end;
  free_bytes_ -= more;
  return true;
}

void HostRegion::Free(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  free_bytes_ += bytes;
  auto [it, inserted] = free_.emplace(offset, offset + bytes);
  if (auto next = std::next(it); next != free_.end() && next->first == it->second) {
    it->second = next->second;
    free_.erase(next);
  }
  if (it != free_.begin()) {
    auto before = std::prev(it);
    if (before->second == it->first) {
      before->second = it->second;
      free_.erase(it);
    }
  }
}

int64_t HostRegion::FreeSlot() const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].type == abi::FileType::kNone) return static_cast<int64_t>(i);
  }
  return -1;
}

void HostRegion::Write(uint32_t slot, abi::FileEntry entry) {
  abi::FileEntry& target = table().entries[slot];
  const uint64_t sequence = target.sequence | 1;
  __atomic_store_n(&target.sequence, sequence, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  entry.sequence = sequence;
  target = entry;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&target.sequence, sequence + 1, __ATOMIC_RELEASE);
  entries_[slot] = entry;
  if (slot >= table().used) table().used = slot + 1;
  __atomic_store_n(&table().generation, table().generation + 1, __ATOMIC_RELEASE);
}

Status HostRegion::AddFile(std::string_view path, std::span<const uint8_t> content,
                           uint16_t mode) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  if (path.empty() || path.size() > abi::kMaxName) return Status(EINVAL, "bad name of a file");
  const int64_t slot = FreeSlot();
  if (slot < 0) return Full();
  // Small files: name and content share one range, the content on a page of its own.
  const uint64_t name_room = Up(path.size(), abi::kPageSize);
  const uint64_t content_room = Up(content.size(), abi::kPageSize);
  const uint64_t at = Allocate(name_room + content_room, abi::kPageSize);
  if (at == 0) return Full();
  std::memcpy(base_ + at, path.data(), path.size());
  if (!content.empty()) std::memcpy(base_ + at + name_room, content.data(), content.size());
  abi::FileEntry entry{};
  entry.type = abi::FileType::kRegular;
  entry.mode = mode;
  entry.size = content.size();
  entry.offset = at + name_room;
  entry.capacity = content_room;
  entry.modified_ns = Now();
  entry.name_offset = at;
  entry.name_size = static_cast<uint32_t>(path.size());
  Write(static_cast<uint32_t>(slot), entry);
  return Status();
}

Status HostRegion::Reserve(Body* body, uint64_t size) {
  if (size <= body->capacity) return Status();
  if (size > size_) return Full();
  constexpr uint64_t kSmall = 64 << 10;
  const bool large = huge_ && size > kSmall;
  const uint64_t align = large ? abi::kHugePageSize : abi::kPageSize;
  const uint64_t wanted = Up(size, abi::kPageSize);
  if (body->capacity != 0) {
    const uint64_t doubled = std::max(wanted, body->capacity * 2);
    for (const uint64_t target : {doubled, wanted}) {
      if (!Extend(body->offset, body->capacity, target - body->capacity)) continue;
      body->capacity = target;
      return Status();
    }
  }
  const uint64_t at = Allocate(wanted, align);
  if (at == 0) return Full();
  if (body->size != 0) std::memcpy(base_ + at, base_ + body->offset, body->size);
  Free(body->offset, body->capacity);
  body->offset = at;
  body->capacity = wanted;
  return Status();
}

void HostRegion::Discard(Body* body) {
  Free(body->offset, body->capacity);
  *body = {};
}

Result<uint32_t> HostRegion::Publish(const Body& body) {
  const int64_t slot = FreeSlot();
  if (slot < 0) return Full();
  abi::FileEntry entry{};
  entry.type = abi::FileType::kRegular;
  entry.mode = 0444;
  entry.size = body.size;
  entry.offset = body.offset;
  entry.capacity = body.capacity;
  entry.modified_ns = Now();
  Write(static_cast<uint32_t>(slot), entry);
  return static_cast<uint32_t>(slot);
}

void HostRegion::Release(uint32_t number) {
  if (number >= entries_.size()) return;
  const abi::FileEntry entry = entries_[number];
  if (entry.type != abi::FileType::kRegular || entry.name_size != 0) return;
  Write(number, abi::FileEntry{});
  Free(entry.offset, entry.capacity);
}

}  // namespace usetl
