#include "guest/kernel/memory/heap.h"

#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

// A free range. Sorted by address; neighbours with equal `dirty` are merged.
struct Range {
  uint64_t begin;
  uint64_t end;
  bool dirty;  // was used: not zero
  Range* next;
};

Range* g_free = nullptr;
uint64_t g_break = 0;
uint64_t g_break_base = 0;
uint64_t g_end = 0;  // of zone A as this allocator knows it

// Freed ranges from this size on go back to the host instead of being zeroed later.
constexpr uint64_t kReleaseSize = 16 << 20;

uint64_t PageUp(uint64_t value) { return (value + abi::kPageSize - 1) & ~(abi::kPageSize - 1); }

void Insert(uint64_t begin, uint64_t end, bool dirty) {
  Range** link = &g_free;
  Range* before = nullptr;
  while (*link != nullptr && (*link)->begin < begin) {
    before = *link;
    link = &before->next;
  }
  Range* after = *link;
  if (before != nullptr && before->end == begin && before->dirty == dirty) {
    before->end = end;
    if (after != nullptr && after->begin == end && after->dirty == dirty) {
      before->end = after->end;
      before->next = after->next;
      Delete(after);
    }
  } else if (after != nullptr && after->begin == end && after->dirty == dirty) {
    after->begin = begin;
  } else {
    Range* range = New<Range>(Range{begin, end, dirty, after});
    if (range == nullptr) Panic("out of kernel memory for a free range of the heap");
    *link = range;
  }
}

// Takes [begin, end) out of the free range *link, which contains it; zeroes it when dirty.
void Take(Range** link, uint64_t begin, uint64_t end) {
  Range* range = *link;
  const bool dirty = range->dirty;
  if (range->begin == begin && range->end == end) {
    *link = range->next;
    Delete(range);
  } else if (range->begin == begin) {
    range->begin = end;
  } else if (range->end == end) {
    range->end = begin;
  } else {
    Range* tail = New<Range>(Range{end, range->end, dirty, range->next});
    if (tail == nullptr) Panic("out of kernel memory for a free range of the heap");
    range->end = begin;
    range->next = tail;
  }
  if (dirty) memset(reinterpret_cast<void*>(begin), 0, end - begin);
  guest_page().heap_used += end - begin;
}

// Takes [begin, end), which may span several free ranges. False: some of it is not free.
bool TakeExact(uint64_t begin, uint64_t end) {
  uint64_t covered = begin;
  for (Range* range = g_free; range != nullptr && covered < end; range = range->next) {
    if (range->begin <= covered && range->end > covered) covered = range->end;
  }
  if (covered < end) return false;
  while (begin < end) {
    Range** link = &g_free;
    while (!((*link)->begin <= begin && (*link)->end > begin)) link = &(*link)->next;
    const uint64_t stop = (*link)->end < end ? (*link)->end : end;
    Take(link, begin, stop);
    begin = stop;
  }
  return true;
}

// Asks the host for more RAM behind the end.
bool Grow(uint64_t length) {
  constexpr uint64_t kStep = 64 << 20;
  const uint64_t limit = host_page().ram_limit;
  uint64_t wanted = g_end + (length + kStep - 1) / kStep * kStep;
  if (wanted > limit) wanted = limit;
  if (wanted <= g_end || wanted - g_end < length) return false;
  guest_page().call.deadline = wanted - abi::kRam.base;
  if (CallHost(abi::CallOp::kGrow) != 0) return false;
  const uint64_t end = host_page().ram_end;
  if (end <= g_end) return false;
  Insert(g_end, end, /*dirty=*/false);
  g_end = end;
  return true;
}

}  // namespace

void InitHeap() {
  g_end = host_page().ram_end;
  g_break_base = g_break = abi::kHeapBase;
  Insert(abi::kHeapBase, g_end, /*dirty=*/false);
}

uint64_t HeapAllocate(uint64_t length) {
  for (;;) {
    // From the top, so that brk can grow upwards; prefer memory that was used before: it is warm.
    Range** best = nullptr;
    for (Range** link = &g_free; *link != nullptr; link = &(*link)->next) {
      if ((*link)->end - (*link)->begin < length) continue;
      if (best == nullptr || (*link)->dirty || !(*best)->dirty) best = link;
    }
    if (best != nullptr) {
      const uint64_t end = (*best)->end;
      Take(best, end - length, end);
      return end - length;
    }
    if (!Grow(length)) {
      ++guest_page().memory_refused;
      return 0;
    }
  }
}

bool HeapExtend(uint64_t end, uint64_t length) { return TakeExact(end, end + length); }

void HeapFree(uint64_t address, uint64_t length) {
  const uint64_t end = address + length;
  while (address < end) {
    // The next stretch that is not free already.
    uint64_t stop = end;
    bool free_here = false;
    for (Range* range = g_free; range != nullptr; range = range->next) {
      if (range->begin <= address && range->end > address) {
        address = range->end;
        free_here = true;
        break;
      }
      if (range->begin > address) {
        if (range->begin < stop) stop = range->begin;
        break;
      }
    }
    if (free_here) continue;
    bool dirty = true;
    if (stop - address >= kReleaseSize) {
      guest_page().call.ranges[0] = {abi::RangeOp::kUnmap, 0, address, stop - address, 0};
      guest_page().call.count = 1;
      dirty = CallHost(abi::CallOp::kRelease) != 0;
    }
    guest_page().heap_used -= stop - address;
    Insert(address, stop, dirty);
    address = stop;
  }
}

void HeapClear(uint64_t address, uint64_t length) {
  if (length >= kReleaseSize) {
    guest_page().call.ranges[0] = {abi::RangeOp::kUnmap, 0, address, length, 0};
    guest_page().call.count = 1;
    if (CallHost(abi::CallOp::kRelease) == 0) return;
  }
  memset(reinterpret_cast<void*>(address), 0, length);
}

bool InHeap(uint64_t address, uint64_t length) {
  return address >= abi::kHeapBase && address <= g_end && length <= g_end - address;
}

bool HeapAllocated(uint64_t address, uint64_t length) {
  if (!InHeap(address, length)) return false;
  for (Range* range = g_free; range != nullptr; range = range->next) {
    if (range->begin < address + length && range->end > address) return false;
  }
  return true;
}

uint64_t SetBreak(uint64_t address) {
  if (address < g_break_base) return g_break;
  const uint64_t now = PageUp(g_break);
  const uint64_t wanted = PageUp(address);
  if (wanted > now) {
    if (wanted > g_end || !TakeExact(now, wanted)) return g_break;
  } else if (wanted < now) {
    HeapFree(wanted, now - wanted);
  }
  g_break = address;
  return g_break;
}

uint64_t HeapUsed() { return guest_page().heap_used; }

void ResetHeap() {
  while (g_free != nullptr) {
    Range* next = g_free->next;
    Delete(g_free);
    g_free = next;
  }
  InitHeap();
  guest_page().heap_used = 0;
  abi::Call& call = guest_page().call;
  constexpr uint32_t kReadWrite = abi::kProtRead | abi::kProtWrite;
  call.ranges[0] = {abi::RangeOp::kUnmap, 0, abi::kHeapBase, g_end - abi::kHeapBase, 0};
  call.count = 1;
  if (CallHost(abi::CallOp::kRelease) != 0) Panic("the heap cannot be released");
  RangeBatch batch;
  batch.Add(abi::RangeOp::kProtect, abi::kHeapBase, g_end - abi::kHeapBase, kReadWrite);
  if (batch.Finish() != 0) Panic("the heap cannot be protected");
}

void ScrubHeap() {
  for (Range* range = g_free; range != nullptr; range = range->next) {
    if (!range->dirty) continue;
    memset(reinterpret_cast<void*>(range->begin), 0, range->end - range->begin);
    range->dirty = false;
  }
}

}  // namespace usetl::kernel
