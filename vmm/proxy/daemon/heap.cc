#include "vmm/proxy/daemon/heap.h"

#include <malloc.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>

namespace usetl {
namespace {

struct Piece {
  Piece* next;
};

Piece* pieces = nullptr;  // all that was taken, from one to the next

}  // namespace

void FillHeap() {
  constexpr size_t kLargest = 64 << 10;  // larger holes are filled piece by piece
  constexpr size_t kSmallest = 16, kStep = 16;
  const size_t unused = mallinfo2().keepcost;
  if (unused == 0) return;  // a sanitizer's allocator, which tells nothing
  const char* const fresh = static_cast<const char*>(sbrk(0)) - unused;
  for (size_t size = kLargest; size >= kSmallest; size -= kStep) {
    for (;;) {
      void* const block = malloc(size);
      if (block == nullptr) return;  // all the better filled
      if (!std::less<const void*>()(block, fresh)) {
        free(block);
        break;
      }
      pieces = new (block) Piece{pieces};
    }
  }
}

}  // namespace usetl
