// user.h: the only way to touch memory that an application pointer names.
//
// A fault inside these routines is caught and becomes their error: the address may be unmapped,
// protected, or a hole of a region.
#ifndef USETL_GUEST_KERNEL_MEMORY_USER_H_
#define USETL_GUEST_KERNEL_MEMORY_USER_H_

#include <cstddef>
#include <cstdint>

namespace usetl::kernel {

// True: all `size` bytes were copied. False: the application's pointer is bad (-EFAULT).
[[nodiscard]] bool CopyFromUser(void* to, const void* user, uint64_t size);
[[nodiscard]] bool CopyToUser(void* user, const void* from, uint64_t size);
[[nodiscard]] bool ZeroUser(void* user, uint64_t size);

// Copies a zero-terminated string of at most `size` bytes with its zero. Returns its length,
// -EFAULT, or -ENAMETOOLONG.
int64_t CopyStringFromUser(char* to, const char* user, uint64_t size);

template <typename T>
[[nodiscard]] bool GetUser(T* value, const T* user) {
  return CopyFromUser(value, user, sizeof(T));
}
template <typename T>
[[nodiscard]] bool PutUser(T* user, const T& value) {
  return CopyToUser(user, &value, sizeof(T));
}

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_MEMORY_USER_H_
