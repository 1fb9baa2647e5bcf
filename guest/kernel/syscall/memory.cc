// memory.cc: mmap and its relatives.
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/memory/user.h"
#include "vmm/abi/control.h"

namespace usetl::kernel {
extern "C" {

int64_t sys_mmap(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags, int fd,
                 uint64_t offset) {
  if (flags & kMapAnonymous) return MapMemory(address, length, protection, flags, nullptr, 0);
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  return MapMemory(address, length, protection, flags, file, offset);
}

int64_t sys_munmap(uint64_t address, uint64_t length) { return UnmapMemory(address, length); }

int64_t sys_mprotect(uint64_t address, uint64_t length, uint32_t protection) {
  return ProtectMemory(address, length, protection);
}

int64_t sys_mremap(uint64_t address, uint64_t old_length, uint64_t new_length, uint32_t flags) {
  return RemapMemory(address, old_length, new_length, flags);
}

int64_t sys_madvise(uint64_t address, uint64_t length, int advice) {
  constexpr int kDontNeed = 4, kFree = 8, kHugePages = 14, kPopulateWrite = 23;
  if (address % abi::kPageSize != 0) return -EINVAL;
  if (advice == kDontNeed || advice == kFree) return DiscardMemory(address, length);
  if (advice < 0 || (advice > kPopulateWrite && advice < 100) || advice > 101) return -EINVAL;
  static_assert(kHugePages < kPopulateWrite);
  return 0;
}

int64_t sys_brk(uint64_t address) { return static_cast<int64_t>(SetBreak(address)); }

int64_t sys_msync() { return 0; }

int64_t sys_mincore(uint64_t address, uint64_t length, uint8_t* vector) {
  if (address % abi::kPageSize != 0) return -EINVAL;
  const uint64_t pages = (length + abi::kPageSize - 1) / abi::kPageSize;
  constexpr uint8_t kResident = 1;
  for (uint64_t i = 0; i < pages; ++i) {
    if (!PutUser(vector + i, kResident)) return -EFAULT;
  }
  return 0;
}

}  // extern "C"
}  // namespace usetl::kernel
