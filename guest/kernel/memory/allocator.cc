// allocator.cc: pages by a bitmap, small objects by size classes.
#include "guest/kernel/memory/allocator.h"

#include "guest/kernel/memory/bytes.h"
#include "vmm/abi/layout.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kPages = abi::kKernelPages.size / abi::kPageSize;
uint64_t g_used[kPages / 64];
uint64_t g_lowest_free = 0;  // no free page lies below it
uint64_t g_free_pages = kPages;
constexpr uint64_t kNotForBuffers = kPages / 4;

bool Used(uint64_t page) { return g_used[page / 64] >> (page % 64) & 1; }
void Mark(uint64_t first, uint64_t count, bool used) {
  for (uint64_t page = first; page < first + count; ++page) {
    const uint64_t bit = 1ull << (page % 64);
    g_used[page / 64] = used ? g_used[page / 64] | bit : g_used[page / 64] & ~bit;
  }
  g_free_pages = used ? g_free_pages - count : g_free_pages + count;
}

// Size classes with a free list each; an object's class stands in the 16 bytes before it.
constexpr uint32_t kClasses[] = {32, 64, 128, 256, 512, 1024, 2048};
constexpr uint32_t kClassCount = sizeof kClasses / sizeof kClasses[0];
struct FreeObject {
  FreeObject* next;
};
FreeObject* g_free[kClassCount];

struct ObjectHeader {
  uint64_t size_class;  // kClassCount: whole pages
  uint64_t pages;
};
static_assert(sizeof(ObjectHeader) == 16);

bool Refill(uint32_t index) {
  auto* page = static_cast<uint8_t*>(AllocatePages(1));
  if (page == nullptr) return false;
  const uint32_t size = kClasses[index];
  for (uint32_t offset = 0; offset + size <= abi::kPageSize; offset += size) {
    auto* object = reinterpret_cast<FreeObject*>(page + offset);
    object->next = g_free[index];
    g_free[index] = object;
  }
  return true;
}

}  // namespace

void* AllocatePages(size_t pages) {
  uint64_t run = 0;
  for (uint64_t page = g_lowest_free; page < kPages; ++page) {
    run = Used(page) ? 0 : run + 1;
    if (run < pages) continue;
    const uint64_t first = page + 1 - pages;
    Mark(first, pages, true);
    if (first == g_lowest_free) g_lowest_free = page + 1;
    void* memory = reinterpret_cast<void*>(abi::kKernelPages.base + first * abi::kPageSize);
    memset(memory, 0, pages * abi::kPageSize);
    return memory;
  }
  return nullptr;
}

void FreePages(void* pointer, size_t pages) {
  const uint64_t first =
      (reinterpret_cast<uint64_t>(pointer) - abi::kKernelPages.base) / abi::kPageSize;
  Mark(first, pages, false);
  if (first < g_lowest_free) g_lowest_free = first;
}

bool MayBuffer(size_t pages) { return g_free_pages >= kNotForBuffers + pages; }

void ScrubKernelPages() {
  for (uint64_t page = 0; page < kPages; ++page) {
    if (Used(page)) continue;
    auto* words = reinterpret_cast<uint64_t*>(abi::kKernelPages.base + page * abi::kPageSize);
    // Reads first: a page that was never written stays out of the VM's memory.
    for (uint64_t i = 0; i < abi::kPageSize / sizeof *words; ++i) {
      if (words[i] != 0) {
        memset(words, 0, abi::kPageSize);
        break;
      }
    }
  }
}

void* Allocate(size_t size) {
  size += sizeof(ObjectHeader);
  uint32_t index = 0;
  while (index < kClassCount && kClasses[index] < size) ++index;
  ObjectHeader* header;
  if (index == kClassCount) {
    const uint64_t pages = (size + abi::kPageSize - 1) / abi::kPageSize;
    header = static_cast<ObjectHeader*>(AllocatePages(pages));
    if (header == nullptr) return nullptr;
    header->pages = pages;
  } else {
    if (g_free[index] == nullptr && !Refill(index)) return nullptr;
    FreeObject* object = g_free[index];
    g_free[index] = object->next;
    header = reinterpret_cast<ObjectHeader*>(object);
  }
  header->size_class = index;
  return header + 1;
}

void Free(void* pointer) {
  if (pointer == nullptr) return;
  ObjectHeader* header = static_cast<ObjectHeader*>(pointer) - 1;
  if (header->size_class == kClassCount) {
    FreePages(header, header->pages);
    return;
  }
  const auto index = header->size_class;
  auto* object = reinterpret_cast<FreeObject*>(header);
  object->next = g_free[index];
  g_free[index] = object;
}

}  // namespace usetl::kernel

// Virtual destructors refer to it; objects are deleted by usetl::kernel::Free.
void operator delete(void* pointer) noexcept { usetl::kernel::Free(pointer); }
void operator delete(void* pointer, size_t) noexcept { usetl::kernel::Free(pointer); }
extern "C" void __cxa_pure_virtual() { __builtin_trap(); }
