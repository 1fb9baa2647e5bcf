#include "vmm/usf/page_tables.h"

#include <algorithm>
#include <bitset>
#include <cstring>
#include <utility>

#include "vmm/platform/x86.h"

namespace usetl {
namespace {

using namespace x86;  // NOLINT: entry bits
constexpr uint64_t kTableEntry = kPresent | kWritable | kUser | kAccessed;
constexpr uint64_t kLeafPreset = kPresent | kAccessed | kDirty;
constexpr uint64_t kProtectionBits = kWritable | kNoExecute | kUser;

uint32_t Index(uint64_t va, int level) { return va >> (12 + 9 * level) & 511; }

// True: a translation cached with `before` would allow what `after` forbids.
bool Narrows(uint64_t before, uint64_t after) {
  if ((before & kWritable) && !(after & kWritable)) return true;
  if (!(before & kNoExecute) && (after & kNoExecute)) return true;
  return (before & kUser) && !(after & kUser);
}

Status Full() { return Status(ENOMEM, "the page-table arena of the USF is full"); }

}  // namespace

PageTables::PageTables(uint8_t* arena, uint64_t root, uint64_t used)
    : arena_(arena), root_(root), used_(used), batch_start_(used), root_before_(root) {}

bool PageTables::AreSound(const uint8_t* arena, uint64_t root, uint64_t used) {
  if (used > abi::kTableArena.size || used % abi::kPageSize != 0) return false;
  const abi::Window tables{abi::kTableArena.base, used};
  // At a level each table is looked at once, however often it is linked, and from wherever.
  std::bitset<abi::kTableArena.size / abi::kPageSize> seen[4];
  std::vector<std::pair<uint64_t, int>> rest;
  const auto add = [&](uint64_t table, int level) {
    if (table % abi::kPageSize != 0 || !tables.Contains(table, abi::kPageSize)) return false;
    const uint64_t page = (table - tables.base) / abi::kPageSize;
    if (level > 0 && !seen[level][page]) rest.emplace_back(table, level);
    seen[level].set(page);
    return true;
  };
  if (!add(root, 3)) return false;
  while (!rest.empty()) {
    const auto [table, level] = rest.back();
    rest.pop_back();
    for (uint64_t i = 0; i < 512; ++i) {
      uint64_t entry;
      std::memcpy(&entry, arena + (table - tables.base) + i * sizeof entry, sizeof entry);
      if (!(entry & kPresent)) continue;
      const bool leaf = entry & kHuge;
      if (leaf ? level > 1 : !add(entry & kAddressMask, level - 1)) return false;
    }
  }
  return true;
}

uint64_t PageTables::Recyclable(uint64_t kept) const {
  std::vector<TableImage> moved;
  Gather(root_, 3, kept, &moved);
  return used_ - kept - moved.size() * sizeof(TableImage);
}

uint64_t* PageTables::Table(uint64_t gpa) const {
  return reinterpret_cast<uint64_t*>(arena_ + (gpa - abi::kTableArena.base));
}

uint64_t PageTables::NewTable() {
  if (used_ + abi::kPageSize > abi::kTableArena.size) return 0;
  const uint64_t gpa = abi::kTableArena.base + used_;
  used_ += abi::kPageSize;
  return gpa;
}

bool PageTables::MustCopy(uint64_t table, bool narrowing) const {
  const uint64_t at = table - abi::kTableArena.base;
  return at < frozen_ || (narrowing && at < batch_start_);
}

Status PageTables::Start() {
  root_ = NewTable();
  return root_ == 0 ? Full() : Status();
}

void PageTables::Reset(uint64_t root) {
  root_ = root_before_ = root;
  frozen_ = used_;
}

uint64_t PageTables::Gather(uint64_t table, int level, uint64_t kept,
                            std::vector<TableImage>* moved) const {
  if (table - abi::kTableArena.base < kept) return table;
  TableImage image;
  std::memcpy(image.data(), Table(table), sizeof image);
  bool empty = level != 3;
  for (uint64_t& entry : image) {
    if (level > 0 && (entry & kPresent) && !(entry & kHuge)) {
      const uint64_t below = Gather(entry & kAddressMask, level - 1, kept, moved);
      entry = below == 0 ? 0 : (entry & ~kAddressMask) | below;
    }
    if (entry != 0) empty = false;
  }
  if (empty) return 0;
  moved->push_back(image);
  return abi::kTableArena.base + kept + (moved->size() - 1) * abi::kPageSize;
}

void PageTables::Recycle(uint64_t kept) {
  std::vector<TableImage> moved;
  root_ = Gather(root_, 3, kept, &moved);
  std::memset(arena_ + kept, 0, used_ - kept);
  std::ranges::copy(moved, reinterpret_cast<TableImage*>(arena_ + kept));
  used_ = kept + moved.size() * sizeof(TableImage);
  batch_start_ = kept;  // nothing is derived from any of them yet
  root_before_ = 0;     // a root may come to lie where an earlier one was: it is switched to
  frozen_ = kept;
}

bool PageTables::EndBatch() {
  const bool switched = root_ != root_before_;
  root_before_ = root_;
  return switched;
}

uint64_t PageTables::LookupStep(uint64_t va, uint64_t* step) const {
  uint64_t table = root_;
  for (int level = 3;; --level) {
    const uint64_t entry = Table(table)[Index(va, level)];
    if (!(entry & kPresent) || level == 0 || (entry & kHuge)) {
      *step = 1ull << (12 + 9 * level);
      return entry & kPresent ? entry : 0;
    }
    table = entry & kAddressMask;
  }
}

uint64_t PageTables::Lookup(uint64_t va) const {
  uint64_t step;
  return LookupStep(va, &step);
}

uint64_t PageTables::NextPresent(uint64_t va, uint64_t end) const {
  uint64_t step;
  while (va < end && LookupStep(va, &step) == 0) va = (va & ~(step - 1)) + step;
  return std::min(va, end);
}

uint64_t PageTables::CopyTable(uint64_t table) {
  const uint64_t fresh = NewTable();
  if (fresh != 0) std::memcpy(Table(fresh), Table(table), abi::kPageSize);
  return fresh;
}

uint64_t* PageTables::Entry(uint64_t va, int leaf_level, bool create, bool narrowing) {
  if (MustCopy(root_, narrowing)) {
    const uint64_t fresh = CopyTable(root_);
    if (fresh == 0) return nullptr;
    root_ = fresh;
  }
  uint64_t table = root_;
  for (int level = 3; level > leaf_level; --level) {
    uint64_t* entry = &Table(table)[Index(va, level)];
    if (!(*entry & kPresent)) {
      if (!create) return nullptr;
      const uint64_t fresh = NewTable();
      if (fresh == 0) return nullptr;
      *entry = fresh | kTableEntry;
    } else if (*entry & kHuge) {
      const uint64_t fresh = NewTable();
      if (fresh == 0) return nullptr;
      const uint64_t base = *entry & kAddressMask;
      const uint64_t flags = *entry & ~(kAddressMask | kHuge);
      for (uint64_t i = 0; i < 512; ++i) Table(fresh)[i] = (base + i * abi::kPageSize) | flags;
      *entry = fresh | kTableEntry;
    } else if (MustCopy(*entry & kAddressMask, narrowing)) {
      const uint64_t fresh = CopyTable(*entry & kAddressMask);
      if (fresh == 0) return nullptr;
      *entry = fresh | kTableEntry;
    }
    table = *entry & kAddressMask;
  }
  return &Table(table)[Index(va, leaf_level)];
}

Status PageTables::Map(uint64_t va, uint64_t gpa, uint64_t length, uint64_t flags, bool huge) {
  const uint64_t end = va + length;
  while (va < end) {
    const bool large = huge && va % abi::kHugePageSize == 0 && gpa % abi::kHugePageSize == 0 &&
                       end - va >= abi::kHugePageSize;
    if (large) {
      uint64_t* entry = Entry(va, 1, /*create=*/true, /*narrowing=*/false);
      if (entry == nullptr) return Full();
      *entry = gpa | flags | kLeafPreset | kHuge;
      va += abi::kHugePageSize, gpa += abi::kHugePageSize;
      continue;
    }
    uint64_t* leaf = Entry(va, 0, /*create=*/true, /*narrowing=*/false);
    if (leaf == nullptr) return Full();
    do {
      *leaf++ = gpa | flags | kLeafPreset;
      va += abi::kPageSize, gpa += abi::kPageSize;
    } while (va < end && Index(va, 0) != 0);
  }
  return Status();
}

Status PageTables::Protect(uint64_t va, uint64_t length, uint64_t flags) {
  const uint64_t end = va + length;
  for (va = NextPresent(va, end); va < end; va = NextPresent(va + abi::kPageSize, end)) {
    const uint64_t old = Lookup(va);
    if ((old & kProtectionBits) == (flags & kProtectionBits)) continue;
    // Splitting a 2 MB entry changes an entry that is in use: as a narrowing.
    const bool narrowing = Narrows(old, flags) || (old & kHuge);
    uint64_t* leaf = Entry(va, 0, /*create=*/false, narrowing);
    if (leaf == nullptr) return Full();
    *leaf = (*leaf & ~kProtectionBits) | (flags & kProtectionBits);
  }
  return Status();
}

Status PageTables::UnmapTable(uint64_t va, std::vector<uint64_t>* freed) {
  uint64_t* entry = Entry(va, 1, /*create=*/false, /*narrowing=*/true);
  if (entry == nullptr) return Full();
  const uint64_t* table = Table(*entry & kAddressMask);
  for (uint64_t i = 0; i < 512; ++i) {
    if (table[i] & kPresent) freed->push_back(table[i] & kAddressMask);
  }
  *entry = 0;
  return Status();
}

Status PageTables::Unmap(uint64_t va, uint64_t length, std::vector<uint64_t>* freed) {
  const uint64_t end = va + length;
  for (va = NextPresent(va, end); va < end; va = NextPresent(va + abi::kPageSize, end)) {
    uint64_t step;
    LookupStep(va, &step);
    const bool whole = va % abi::kHugePageSize == 0 && end - va >= abi::kHugePageSize;
    if (whole && step == abi::kPageSize) {
      USETL_RETURN_IF_ERROR(UnmapTable(va, freed));
      va += abi::kHugePageSize - abi::kPageSize;
      continue;
    }
    uint64_t* leaf = Entry(va, 0, /*create=*/false, /*narrowing=*/true);
    if (leaf == nullptr) return Full();
    freed->push_back(*leaf & kAddressMask);
    *leaf = 0;
  }
  return Status();
}

}  // namespace usetl
