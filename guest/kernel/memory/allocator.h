// allocator.h: memory of the kernel itself, from the kernel pages of the layout.
#ifndef USETL_GUEST_KERNEL_MEMORY_ALLOCATOR_H_
#define USETL_GUEST_KERNEL_MEMORY_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace usetl::kernel {

// 16-byte aligned, not zeroed; null when the kernel's memory is used up (-ENOMEM to the caller).
void* Allocate(size_t size);
void Free(void* pointer);

// Whole pages, zeroed, page aligned; null when used up.
void* AllocatePages(size_t pages);
void FreePages(void* pointer, size_t pages);
// Whether buffers of pipes and sockets may take so many pages more: a part is left for what the
// kernel cannot do without.
bool MayBuffer(size_t pages);

// Before a snapshot: free pages become zero, so that it does not store them.
void ScrubKernelPages();

template <typename T, typename... Args>
T* New(Args&&... args) {
  void* memory = Allocate(sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T(std::forward<Args>(args)...);
}
template <typename T>
void Delete(T* object) {
  if (object == nullptr) return;
  object->~T();
  Free(object);
}

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_ALLOCATOR_H_
