// bytes.h: the four routines that a freestanding compiler may call, and strings.
#ifndef USETL_GUEST_KERNEL_MEMORY_BYTES_H_
#define USETL_GUEST_KERNEL_MEMORY_BYTES_H_

#include <cstddef>
#include <cstdint>

extern "C" {
void* memcpy(void* to, const void* from, size_t size);
void* memmove(void* to, const void* from, size_t size);
void* memset(void* to, int value, size_t size);
int memcmp(const void* a, const void* b, size_t size);
size_t strlen(const char* text);
}

#endif  // USETL_GUEST_KERNEL_MEMORY_BYTES_H_
