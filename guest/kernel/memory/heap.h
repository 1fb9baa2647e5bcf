// heap.h: zone A, read-write memory that is always present: brk and plain anonymous mmap.
//
// Handing out and taking back touches no page table. What was never used is zero; what comes back
// is zeroed when it is handed out again.
#ifndef USETL_GUEST_KERNEL_MEMORY_HEAP_H_
#define USETL_GUEST_KERNEL_MEMORY_HEAP_H_

#include <cstdint>

namespace usetl::kernel {

void InitHeap();

// Zeroed pages, or 0 when RAM is used up. `length` is a page multiple.
uint64_t HeapAllocate(uint64_t length);
// Grows an allocation in place to the pages right behind it. False: not free.
bool HeapExtend(uint64_t end, uint64_t length);
// Gives pages back; parts that are free already are passed over.
void HeapFree(uint64_t address, uint64_t length);
// Zeroes allocated pages as madvise(MADV_DONTNEED) does.
void HeapClear(uint64_t address, uint64_t length);

// True: [address, address+length) lies in zone A as it is now.
bool InHeap(uint64_t address, uint64_t length);
// True: all of it is handed out.
bool HeapAllocated(uint64_t address, uint64_t length);

// brk(2): the new end, or the old one when it cannot be had.
uint64_t SetBreak(uint64_t address);

// Bytes handed out.
uint64_t HeapUsed();

// Before another program starts: all of it is free again, zero and read-write.
void ResetHeap();

// Before a snapshot: free pages become zero, so that it does not store them.
void ScrubHeap();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_HEAP_H_
