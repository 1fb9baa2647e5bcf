#include "guest/kernel/fs/directory_record.h"

#include <asm/errno.h>

#include "guest/kernel/fs/node.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {

bool DirectoryWriter::Put(uint64_t inode, int64_t next, uint8_t type, const char* name) {
  uint8_t buffer[sizeof(DirectoryRecord) + kMaxComponent + 8] = {};
  const uint64_t name_size = strlen(name);
  if (name_size > kMaxComponent) return true;  // no path can name it: left out
  const uint64_t length = (kRecordHead + name_size + 1 + 7) & ~7ull;
  if (written_ + length > size_) {
    full_ = true;
    return false;
  }
  const auto short_length = static_cast<uint16_t>(length);
  memcpy(buffer, &inode, 8);
  memcpy(buffer + 8, &next, 8);
  memcpy(buffer + 16, &short_length, 2);
  buffer[18] = type;
  memcpy(buffer + kRecordHead, name, name_size + 1);
  if (!CopyToUser(user_ + written_, buffer, length)) {
    fault_ = true;
    return false;
  }
  written_ += length;
  return true;
}

int64_t DirectoryWriter::End() const {
  if (written_ != 0) return static_cast<int64_t>(written_);
  // The buffer is too small for one record.
  return fault_ ? -EFAULT : full_ ? -EINVAL : 0;
}

}  // namespace usetl::kernel
