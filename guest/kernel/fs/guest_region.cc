#include "guest/kernel/fs/guest_region.h"

#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

struct Range {
  uint64_t begin, end;
  Range* next;
};

// Names lie between table and data, a fixed room per slot: longer paths are published without one.
constexpr uint64_t kNameRoom = 256;
constexpr uint64_t kNames = abi::TableBytes(abi::kGuestEntries);
constexpr uint64_t kData =
    (kNames + abi::kGuestEntries * kNameRoom + abi::kPageSize - 1) & ~(abi::kPageSize - 1);

Range* g_free = nullptr;  // sorted, coalesced
uint64_t g_free_bytes = 0;
uint64_t g_high_water = kData;  // never used beyond: still zero
uint64_t g_used_slots[(abi::kGuestEntries + 63) / 64];
uint32_t g_slot_end = 0;

abi::FileTable& Table() { return *reinterpret_cast<abi::FileTable*>(abi::kGuestRegion.base); }

void Take(Range** link, uint64_t begin, uint64_t end) {
  Range* range = *link;
  if (begin < g_high_water) {
    const uint64_t dirty_end = end < g_high_water ? end : g_high_water;
    memset(GuestRegionAt(begin), 0, dirty_end - begin);
  }
  if (end > g_high_water) g_high_water = end;
  g_free_bytes -= end - begin;
  range->begin = end;  // ranges are always taken from their front
  if (range->begin == range->end) {
    *link = range->next;
    Delete(range);
  }
}

}  // namespace

void FormatGuestRegion() {
  const uint64_t size = host_page().guest_region_size;
  abi::FileTable& table = Table();
  table.region_size = size;
  table.capacity = abi::kGuestEntries;
  table.used = g_slot_end;
  table.data_base = kNames;
  table.generation = 1;
  __atomic_store_n(&table.magic, abi::kFileTableMagic, __ATOMIC_RELEASE);
  if (g_free == nullptr && g_free_bytes == 0 && size > kData) {
    g_free = New<Range>(Range{kData, size, nullptr});
    if (g_free == nullptr) Panic("out of memory for the guest region");
    g_free_bytes = size - kData;
    return;
  }
  // After a restore the region may have another size: its end moves.
  for (Range* range = g_free; range != nullptr; range = range->next) {
    if (range->next != nullptr || size <= range->begin) continue;
    g_free_bytes += size - range->end;
    range->end = size;
  }
}

uint8_t* GuestRegionAt(uint64_t offset) {
  return reinterpret_cast<uint8_t*>(abi::kGuestRegion.base + offset);
}
uint64_t GuestRegionFree() { return g_free_bytes; }
uint64_t GuestRegionTotal() {
  const uint64_t size = host_page().guest_region_size;
  return size > kData ? size - kData : 0;
}

uint64_t AllocateRange(uint64_t bytes) {
  for (Range** link = &g_free; *link != nullptr; link = &(*link)->next) {
    const uint64_t begin = (*link)->begin;
    if ((*link)->end - begin < bytes) continue;
    Take(link, begin, begin + bytes);
    return begin;
  }
  return 0;
}

bool ExtendRange(uint64_t offset, uint64_t bytes, uint64_t more) {
  const uint64_t end = offset + bytes;
  for (Range** link = &g_free; *link != nullptr; link = &(*link)->next) {
    if ((*link)->begin > end) return false;
    if ((*link)->begin != end) continue;
    if ((*link)->end - end < more) return false;
    Take(link, end, end + more);
    return true;
  }
  return false;
}

void FreeRange(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  const uint64_t end = offset + bytes;
  g_free_bytes += bytes;
  Range** link = &g_free;
  Range* before = nullptr;
  while (*link != nullptr && (*link)->begin < offset) {
    before = *link;
    link = &before->next;
  }
  Range* after = *link;
  if (before != nullptr && before->end == offset) {
    before->end = end;
    if (after != nullptr && after->begin == end) {
      before->end = after->end;
      before->next = after->next;
      Delete(after);
    }
  } else if (after != nullptr && after->begin == end) {
    after->begin = offset;
  } else if (Range* range = New<Range>(Range{offset, end, after})) {
    *link = range;
  } else {
    g_free_bytes -= bytes;  // no memory to remember it: lost until the rollback
  }
}

int32_t TakeSlot() {
  for (uint32_t word = 0; word < sizeof g_used_slots / sizeof g_used_slots[0]; ++word) {
    if (g_used_slots[word] == ~0ull) continue;
    const uint32_t slot = word * 64 + __builtin_ctzll(~g_used_slots[word]);
    if (slot >= abi::kGuestEntries) return -1;
    g_used_slots[word] |= 1ull << (slot % 64);
    if (slot >= g_slot_end) g_slot_end = slot + 1;
    return static_cast<int32_t>(slot);
  }
  return -1;
}

void FreeSlot(int32_t slot) {
  abi::FileEntry gone{};
  PublishSlot(slot, gone, "");
  g_used_slots[slot / 64] &= ~(1ull << (slot % 64));
}

namespace {

// Writes the entry under its sequence number; name_size says how much of the slot's room is used.
void WriteSlot(int32_t slot, const abi::FileEntry& source, uint32_t name_size) {
  abi::FileTable& table = Table();
  abi::FileEntry& entry = table.entries[slot];
  const uint64_t sequence = entry.sequence | 1;
  __atomic_store_n(&entry.sequence, sequence, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  abi::FileEntry copy = source;
  copy.sequence = sequence;
  copy.name_offset = kNames + static_cast<uint64_t>(slot) * kNameRoom;
  copy.name_size = name_size;
  entry = copy;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&entry.sequence, sequence + 1, __ATOMIC_RELEASE);
  table.used = g_slot_end;
  __atomic_store_n(&table.generation, table.generation + 1, __ATOMIC_RELEASE);
}

uint32_t g_name_sizes[abi::kGuestEntries];

}  // namespace

void PublishSlot(int32_t slot, const abi::FileEntry& entry, const char* path) {
  while (*path == '/') ++path;
  const uint64_t length = strlen(path);
  g_name_sizes[slot] = length <= kNameRoom ? static_cast<uint32_t>(length) : 0;
  const uint64_t at = kNames + static_cast<uint64_t>(slot) * kNameRoom;
  memcpy(GuestRegionAt(at), path, g_name_sizes[slot]);
  WriteSlot(slot, entry, g_name_sizes[slot]);
}

void UpdateSlot(int32_t slot, const abi::FileEntry& entry) {
  WriteSlot(slot, entry, g_name_sizes[slot]);
}

}  // namespace usetl::kernel
