#include "guest/kernel/memory/address_space.h"

#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/area.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/memory/in_place.h"

namespace usetl::kernel {
namespace {

using abi::kPageSize;

AreaList g_areas;
uint64_t g_next = abi::kMapped.base;  // zone C is handed out upwards at first

uint64_t PageUp(uint64_t value) { return (value + kPageSize - 1) & ~(kPageSize - 1); }

bool InMapped(uint64_t address, uint64_t length) {
  return abi::kMapped.Contains(address, length) || abi::kLowMapped.Contains(address, length);
}

// Where content lies at its own address for good: packs and regions.
bool InPlace(uint64_t address, uint64_t length) {
  return abi::kPacks.Contains(address, length) || abi::kHostRegion.Contains(address, length) ||
         abi::kGuestRegion.Contains(address, length);
}

// Bytes of an area that can be present.
uint64_t Reach(const Area& area) {
  if (area.source == 0) return area.size();
  const uint64_t reach = PageUp(area.source_bytes);
  return reach < area.size() ? reach : area.size();
}

int64_t RemoveAreas(uint64_t begin, uint64_t end) {
  if (!g_areas.Isolate(begin, end)) return -ENOMEM;
  RangeBatch batch;
  for (uint32_t i = g_areas.Find(begin); i < g_areas.end() && g_areas[i].begin < end;) {
    if (g_areas[i].populated) {
      batch.Add(abi::RangeOp::kUnmap, g_areas[i].begin, Reach(g_areas[i]), 0);
    }
    g_areas.Remove(i);
  }
  return batch.Finish();
}

// Room that was given back, with a page on both sides; 0: there is none.
uint64_t FindGap(uint64_t length, uint64_t align) {
  uint64_t at = abi::kMapped.base;
  for (uint32_t i = g_areas.Find(at); i < g_areas.end(); ++i) {
    if (at + length + kPageSize <= g_areas[i].begin) return at;
    at = (g_areas[i].end + kPageSize + align - 1) & ~(align - 1);
  }
  return abi::kMapped.Contains(at, length) ? at : 0;
}

int64_t MapInZoneC(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags,
                   File* file, uint64_t offset, const MapSource& source) {
  const bool fixed = flags & (kMapFixed | kMapFixedNoReplace);
  const bool stack = (flags & kMapStack) && !(flags & kMapDenyWrite);  // of a thread
  if (fixed) {
    if (!InMapped(address, length)) return -ENOMEM;
    if (flags & kMapFixedNoReplace) {
      const uint32_t i = g_areas.Find(address);
      if (i < g_areas.end() && g_areas[i].begin < address + length) return -EEXIST;
    } else if (const int64_t error = RemoveAreas(address, address + length); error != 0) {
      return error;
    }
  } else {
    // 2 MB apart and aligned when large: fewer table pages, and no neighbour to run into.
    const uint64_t align = length >= abi::kHugePageSize ? abi::kHugePageSize : kPageSize;
    // What is used of a stack is its end: it takes one table when that is aligned.
    const uint64_t room = stack ? (length + align - 1) & ~(align - 1) : length;
    address = (g_next + align - 1) & ~(align - 1);
    if (abi::kMapped.Contains(address, room)) {
      g_next = address + room + kPageSize;
    } else if ((address = FindGap(room, align)) == 0) {
      return -ENOMEM;
    }
    address += room - length;
  }
  Area area{};
  area.begin = address;
  area.end = address + length;
  area.source = source.address;
  area.source_bytes = source.available < length ? source.available : length;
  area.file_offset = offset;
  area.file = file;
  area.protection = protection;
  area.shared = flags & kMapShared;
  area.stack = stack;
  if (!g_areas.Insert(area)) return -ENOMEM;
  if (file != nullptr) {
    file->Ref();
    file->Pin();
  }
  return static_cast<int64_t>(address);
}

int64_t MapInHeapFixed(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags) {
  if (!(flags & kMapAnonymous)) return -EINVAL;
  if (!HeapAllocated(address, length)) return -ENOMEM;
  HeapClear(address, length);
  return ProtectMemory(address, length, protection) == 0 ? static_cast<int64_t>(address) : -ENOMEM;
}

}  // namespace

int64_t MapMemory(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags,
                  File* file, uint64_t offset) {
  if (length == 0 || address % kPageSize != 0 || offset % kPageSize != 0) return -EINVAL;
  if (!(flags & (kMapShared | kMapPrivate))) return -EINVAL;
  if (length > abi::kMapped.size) return -ENOMEM;
  if ((protection & abi::kProtWrite) && (protection & abi::kProtExec)) return -EACCES;
  length = PageUp(length);
  const bool fixed = flags & (kMapFixed | kMapFixedNoReplace);
  constexpr uint32_t kReadWrite = abi::kProtRead | abi::kProtWrite;

  if (file == nullptr) {
    // kMapDenyWrite asks for zone C: guarded stacks of the kernel's making.
    if (!fixed && protection == kReadWrite && !(flags & kMapDenyWrite)) {
      const uint64_t at = HeapAllocate(length);
      return at != 0 ? static_cast<int64_t>(at) : -ENOMEM;
    }
    if (fixed && InHeap(address, length)) {
      return MapInHeapFixed(address, length, protection, flags);
    }
    return MapInZoneC(address, length, protection, flags, nullptr, 0, MapSource{});
  }

  const MapAccess access{.shared = (flags & kMapShared) != 0,
                         .writable = (protection & abi::kProtWrite) != 0};
  const bool shared_writable = access.shared && access.writable;
  MapSource source;
  const int64_t mapped = file->Map(offset, length, access, &source);
  if (mapped != 0) return mapped;
  if (shared_writable && !source.writable) return -EACCES;
  // The guest region is writable at its own address: the host would refuse to make it executable.
  if ((protection & abi::kProtExec) && source.writable) return -EACCES;
  const bool plain = !(protection & abi::kProtExec) && !(flags & kMapDenyWrite) && !fixed &&
                     !source.kept && length <= PageUp(source.available);
  if (plain && (shared_writable || !(protection & abi::kProtWrite)) && protection != 0) {
    const bool moves = abi::kGuestRegion.Contains(source.address, length);
    if (moves && !AddInPlace(source.address, source.address + length, file)) return -ENOMEM;
    return static_cast<int64_t>(source.address);
  }
  if (shared_writable) return -ENODEV;
  return MapInZoneC(address, length, protection, flags, file, offset, source);
}

int64_t UnmapMemory(uint64_t address, uint64_t length) {
  if (address % kPageSize != 0 || length == 0) return -EINVAL;
  length = PageUp(length);
  if (InHeap(address, length)) {
    HeapFree(address, length);
    return 0;
  }
  if (abi::kGuestRegion.Contains(address, length)) return RemoveInPlace(address, address + length);
  if (InPlace(address, length)) return 0;
  if (InMapped(address, length)) return RemoveAreas(address, address + length);
  return length > abi::kMapped.end() ? -EINVAL : 0;
}

int64_t ProtectMemory(uint64_t address, uint64_t length, uint32_t protection) {
  if (address % kPageSize != 0) return -EINVAL;
  protection &= 7;
  if ((protection & abi::kProtWrite) && (protection & abi::kProtExec)) return -EACCES;
  length = PageUp(length);
  if (length == 0) return 0;
  RangeBatch batch;
  if (InHeap(address, length)) {
    batch.Add(abi::RangeOp::kProtect, address, length, protection);
    return batch.Finish();
  }
  if (InPlace(address, length)) return protection & ~abi::kProtRead ? -EACCES : 0;
  if (!InMapped(address, length)) return -ENOMEM;
  const uint64_t end = address + length;
  if (!g_areas.Isolate(address, end)) return -ENOMEM;
  uint64_t covered = address;
  for (uint32_t i = g_areas.Find(address); i < g_areas.end() && g_areas[i].begin < end; ++i) {
    Area& area = g_areas[i];
    if (area.begin > covered) return -ENOMEM;
    covered = area.end;
    if (area.populated && area.protection != protection) {
      if (!area.framed && (protection & abi::kProtWrite) && !area.shared) {
        // Pages of the file itself are there: the next fault brings a private copy.
        batch.Add(abi::RangeOp::kUnmap, area.begin, Reach(area), 0);
        area.populated = false;
      } else {
        batch.Add(abi::RangeOp::kProtect, area.begin, Reach(area), protection);
      }
    }
    area.protection = protection;
  }
  const int64_t error = batch.Finish();
  return error != 0 ? error : (covered < end ? -ENOMEM : 0);
}

int64_t DiscardMemory(uint64_t address, uint64_t length) {
  length = PageUp(length);
  if (InHeap(address, length)) {
    if (!HeapAllocated(address, length)) return -ENOMEM;
    HeapClear(address, length);
    return 0;
  }
  if (InPlace(address, length)) return 0;
  if (!InMapped(address, length)) return -ENOMEM;
  const uint64_t end = address + length;
  for (uint32_t i = g_areas.Find(address); i < g_areas.end() && g_areas[i].begin < end; ++i) {
    const Area& area = g_areas[i];
    if (!area.populated || !area.framed || !(area.protection & abi::kProtWrite)) continue;
    const uint64_t from = area.begin > address ? area.begin : address;
    uint64_t to = area.begin + Reach(area) < end ? area.begin + Reach(area) : end;
    if (from >= to) continue;
    memset(reinterpret_cast<void*>(from), 0, to - from);
    if (area.source == 0) continue;
    const uint64_t content = area.begin + area.source_bytes;
    if (content < to) to = content;
    if (from >= to) continue;
    memcpy(reinterpret_cast<void*>(from),
           reinterpret_cast<void*>(area.source + (from - area.begin)), to - from);
  }
  return 0;
}

int64_t RemapMemory(uint64_t address, uint64_t old_length, uint64_t new_length, uint32_t flags) {
  constexpr uint32_t kMayMove = 1;
  if (address % kPageSize != 0 || new_length == 0 || (flags & ~kMayMove)) return -EINVAL;
  if (new_length > abi::kMapped.size) return -ENOMEM;  // no limit would allow it
  old_length = PageUp(old_length);
  new_length = PageUp(new_length);
  if (new_length <= old_length) {
    if (new_length < old_length) UnmapMemory(address + new_length, old_length - new_length);
    return static_cast<int64_t>(address);
  }
  const bool heap = InHeap(address, old_length);
  if (heap && !HeapAllocated(address, old_length)) return -EFAULT;
  if (heap && HeapExtend(address + old_length, new_length - old_length)) {
    return static_cast<int64_t>(address);
  }
  if (!(flags & kMayMove)) return -ENOMEM;
  uint64_t content = old_length;
  if (!heap) {
    // Only private writable memory moves; it becomes heap.
    const uint32_t i = InMapped(address, old_length) ? g_areas.Find(address) : g_areas.end();
    if (i == g_areas.end() || g_areas[i].begin > address || g_areas[i].shared ||
        g_areas[i].end < address + old_length || !(g_areas[i].protection & abi::kProtRead)) {
      return -EFAULT;
    }
    if (g_areas[i].begin + Reach(g_areas[i]) < address + old_length) {
      content = g_areas[i].begin + Reach(g_areas[i]) - address;
    }
  }
  const uint64_t to = HeapAllocate(new_length);
  if (to == 0) return -ENOMEM;
  memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(address), content);
  UnmapMemory(address, old_length);
  return static_cast<int64_t>(to);
}

void ResetMappings(bool present) {
  if (!present) {
    g_areas = AreaList();  // files too are forgotten, not closed
    ResetInPlace(/*release=*/false);
    return;
  }
  ResetInPlace(/*release=*/true);
  if (RemoveAreas(0, abi::kMapped.end()) != 0) Panic("the address space cannot be emptied");
}

FaultResult HandlePageFault(uint64_t address, uint64_t error) {
  constexpr uint64_t kWasPresent = 1, kWasWrite = 2, kWasFetch = 16;
  uint32_t i = g_areas.Find(address);
  if (i == g_areas.end() || g_areas[i].begin > address) return FaultResult::kNoMapping;
  const uint32_t protection = g_areas[i].protection;
  const uint32_t needed = (error & kWasFetch)   ? abi::kProtExec
                          : (error & kWasWrite) ? abi::kProtWrite
                                                : abi::kProtRead;
  if (!(protection & (needed == abi::kProtRead ? abi::kProtRead | abi::kProtExec : needed))) {
    return FaultResult::kNoPermission;
  }
  if (error & kWasPresent) return FaultResult::kNoPermission;
  if (address - g_areas[i].begin >= Reach(g_areas[i])) return FaultResult::kBeyondEnd;
  if (g_areas[i].populated) return FaultResult::kNoMapping;

  // Large areas come in pieces: page-table work stays bounded and copies stay few.
  const bool framed = g_areas[i].source == 0 || (protection & abi::kProtWrite);
  constexpr uint64_t kStackPiece = 32 << 10;  // what a thread of Python wants for little work
  const uint64_t zeros = g_areas[i].stack ? kStackPiece : uint64_t{abi::kHugePageSize};
  const uint64_t piece = g_areas[i].source == 0 ? zeros : framed ? 1 << 20 : 64 << 20;
  const uint64_t begin = address & ~(piece - 1);
  if (g_areas[i].size() > piece) {
    if (!g_areas.Isolate(begin, begin + piece)) return FaultResult::kNoMapping;
    i = g_areas.Find(address);
  }
  Area& area = g_areas[i];
  const uint64_t length = Reach(area);
  // A private copy is filled before anyone sees it, so it is writable first.
  const bool copy = framed && area.source != 0;
  RangeBatch batch;
  if (framed) {
    batch.Add(abi::RangeOp::kAnonymous, area.begin, length, protection);
  } else {
    batch.Add(abi::RangeOp::kShared, area.begin, length, protection, area.source);
  }
  if (const int32_t refused = batch.Finish(); refused != 0) {
    return refused == -ENOMEM ? FaultResult::kNoMemory : FaultResult::kNoMapping;
  }
  area.populated = true;
  area.framed = framed;
  if (copy) {
    memcpy(reinterpret_cast<void*>(area.begin), reinterpret_cast<void*>(area.source),
           area.source_bytes);
  }
  return FaultResult::kHandled;
}

bool DescribeMapping(uint64_t address, char* name, uint32_t size, uint64_t* offset) {
  if (InHeap(address, 1)) {
    Format(name, size, "[heap]");
    *offset = address - abi::kHeapBase;
    return true;
  }
  if (address >= abi::kKernelImage.base && address < abi::kKernelImage.end()) {
    Format(name, size, "[kernel]");
    *offset = address - abi::kKernelImage.base;
    return true;
  }
  const uint32_t i = g_areas.Find(address);
  if (i == g_areas.end() || g_areas[i].begin > address) return false;
  const Area& area = g_areas[i];
  *offset = area.file_offset + (address - area.begin);
  if (area.file == nullptr) {
    Format(name, size, "[anonymous]");
    return true;
  }
  const int64_t length = area.file->Name(name, size - 1);
  name[length > 0 ? length : 0] = 0;
  return true;
}

void VisitMappings(void (*visit)(void* context, const MappingInfo& info), void* context) {
  bool heap_shown = false;
  const auto show_heap = [&] {
    const uint64_t end = host_page().ram_end;
    visit(context, {abi::kHeapBase, end, 0, abi::kProtRead | abi::kProtWrite, false, nullptr});
    heap_shown = true;
  };
  for (uint32_t i = 0; i < g_areas.end(); ++i) {
    const Area& a = g_areas[i];
    if (!heap_shown && a.begin > abi::kHeapBase) show_heap();
    visit(context, {a.begin, a.end, a.file_offset, a.protection, a.shared, a.file});
  }
  if (!heap_shown) show_heap();
}

}  // namespace usetl::kernel
