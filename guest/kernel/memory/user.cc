#include "guest/kernel/memory/user.h"

#include <asm/errno.h>

#include "guest/kernel/memory/bytes.h"

extern "C" {
uint64_t UserCopy(void* to, const void* from, uint64_t size);
uint64_t UserZero(void* to, uint64_t size);
}

namespace usetl::kernel {

bool CopyFromUser(void* to, const void* user, uint64_t size) {
  return UserCopy(to, user, size) == 0;
}

bool CopyToUser(void* user, const void* from, uint64_t size) {
  return UserCopy(user, from, size) == 0;
}

bool ZeroUser(void* user, uint64_t size) { return UserZero(user, size) == 0; }

int64_t CopyStringFromUser(char* to, const char* user, uint64_t size) {
  uint64_t length = 0;
  while (length < size) {
    // Up to the end of the page: the string may end just before one that is not there.
    uint64_t chunk = 4096 - (reinterpret_cast<uint64_t>(user) + length) % 4096;
    if (chunk > 64) chunk = 64;
    if (chunk > size - length) chunk = size - length;
    if (!CopyFromUser(to + length, user + length, chunk)) return -EFAULT;
    for (uint64_t i = 0; i < chunk; ++i) {
      if (to[length + i] == 0) return static_cast<int64_t>(length + i);
    }
    length += chunk;
  }
  return -ENAMETOOLONG;
}

}  // namespace usetl::kernel
