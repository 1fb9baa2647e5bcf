// body.h: request bodies in the guest region.
#ifndef USETL_GUEST_KERNEL_FS_BODY_H_
#define USETL_GUEST_KERNEL_FS_BODY_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

// Pins the first `size` bytes of `file` for the host: a file of the guest region is pinned where it
// lies, any other is copied there first. `*pinned` holds a reference until UnpinBody; `*offset` is
// from the start of the guest region. 0, -EINVAL (shorter than `size`), -ENOSPC.
int64_t PinBody(File* file, uint64_t size, File** pinned, uint64_t* offset);
void UnpinBody(File* pinned);

// Memory for the pieces of a streamed body.
struct BodyWindow {
  File* file = nullptr;
  uint8_t* memory = nullptr;
  uint64_t offset = 0;  // within the guest region
  uint64_t size = 0;
};
int64_t OpenBodyWindow(BodyWindow* window);  // 0 or -ENOSPC
void CloseBodyWindow(BodyWindow* window);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_BODY_H_
