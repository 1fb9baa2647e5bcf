// address_space.h: mmap and its relatives over zones A, B and C (vmm/abi/README.md).
//
// Zone C is lazy: an area is put behind its addresses by the fault handler, all pages of the area
// at once, so an area is either populated or not.
#ifndef USETL_GUEST_KERNEL_MEMORY_ADDRESS_SPACE_H_
#define USETL_GUEST_KERNEL_MEMORY_ADDRESS_SPACE_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

inline constexpr uint32_t kMapShared = 0x01, kMapPrivate = 0x02, kMapFixed = 0x10;
inline constexpr uint32_t kMapAnonymous = 0x20, kMapDenyWrite = 0x0800, kMapStack = 0x20000;
inline constexpr uint32_t kMapFixedNoReplace = 0x100000;

// As the system calls; addresses or negative errno. `file` is null for anonymous mappings.
int64_t MapMemory(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags,
                  File* file, uint64_t offset);
int64_t UnmapMemory(uint64_t address, uint64_t length);
int64_t ProtectMemory(uint64_t address, uint64_t length, uint32_t protection);
int64_t RemapMemory(uint64_t address, uint64_t old_length, uint64_t new_length, uint32_t flags);
int64_t DiscardMemory(uint64_t address, uint64_t length);  // MADV_DONTNEED

// Before another program starts: zone C is empty. `present`: what is mapped is there and has to go;
// else this is a clone, for which the host has mapped nothing.
void ResetMappings(bool present);

enum class FaultResult {
  kHandled,       // pages were put there: try again
  kNoMapping,     // SEGV_MAPERR
  kNoPermission,  // SEGV_ACCERR
  kBeyondEnd,     // SIGBUS: past the end of the mapped file
  kNoMemory,      // the function's limit is reached
};
FaultResult HandlePageFault(uint64_t address, uint64_t error);

// Names what is mapped at `address`: file and offset within it. False: nothing is.
bool DescribeMapping(uint64_t address, char* name, uint32_t size, uint64_t* offset);

// Calls `visit` for each mapping in address order (/proc/self/maps).
struct MappingInfo {
  uint64_t begin, end, offset;
  uint32_t protection;
  bool shared;
  File* file;  // may be null
};
void VisitMappings(void (*visit)(void* context, const MappingInfo& info), void* context);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_ADDRESS_SPACE_H_
