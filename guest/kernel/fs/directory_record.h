// directory_record.h: what getdents64(2) gives.
#ifndef USETL_GUEST_KERNEL_FS_DIRECTORY_RECORD_H_
#define USETL_GUEST_KERNEL_FS_DIRECTORY_RECORD_H_

#include <cstdint>

#include "guest/kernel/fs/inode.h"

namespace usetl::kernel {

inline constexpr uint8_t kTypeDirectory = 4, kTypeRegular = 8, kTypeLink = 10, kTypeSocket = 12;
inline constexpr uint64_t kRecordHead = 19;  // of DirectoryRecord, without its padding

constexpr uint8_t KindOf(InodeType type) {
  return type == InodeType::kDirectory ? kTypeDirectory
         : type == InodeType::kSymlink ? kTypeLink
         : type == InodeType::kSocket  ? kTypeSocket
                                       : kTypeRegular;
}

// Writes records into a buffer of the application.
class DirectoryWriter {
 public:
  DirectoryWriter(void* user, uint64_t size) : user_(static_cast<uint8_t*>(user)), size_(size) {}

  // False: it does not fit any more, or the buffer is bad. `next`: the position behind it.
  bool Put(uint64_t inode, int64_t next, uint8_t type, const char* name);
  uint64_t written() const { return written_; }
  // The call's result. `full`: because a record did not fit.
  int64_t End() const;

 private:
  uint8_t* user_;
  uint64_t size_;
  uint64_t written_ = 0;
  bool full_ = false, fault_ = false;
};

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FS_DIRECTORY_RECORD_H_
