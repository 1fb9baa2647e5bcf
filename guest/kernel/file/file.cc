// file.cc: what a file answers to calls that do not fit it.
#include "guest/kernel/file/file.h"

#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"

namespace usetl::kernel {

void File::Unref() {
  if (--references_ == 0) delete this;
}

int64_t File::Read(void*, uint64_t) { return -EINVAL; }
int64_t File::Write(const void*, uint64_t) { return -EINVAL; }
int64_t File::ReadAt(void*, uint64_t, uint64_t) { return -ESPIPE; }
int64_t File::WriteAt(const void*, uint64_t, uint64_t) { return -ESPIPE; }
int64_t File::Seek(int64_t, int) { return -ESPIPE; }

int64_t File::GetStat(Stat* stat) {
  *stat = {};
  stat->mode = 0600;  // an anonymous inode, as epoll and eventfd have
  stat->block_size = 4096;
  stat->links = 1;
  return 0;
}

int64_t File::Ioctl(uint64_t, uint64_t) { return -ENOTTY; }
int64_t File::Truncate(uint64_t) { return -EINVAL; }
int64_t File::ReadDirectory(void*, uint64_t) { return -ENOTDIR; }
int64_t File::Map(uint64_t, uint64_t, const MapAccess&, MapSource*) { return -ENODEV; }
uint32_t File::Poll() { return kPollIn | kPollOut; }
int64_t File::Name(char*, uint64_t) { return 0; }

}  // namespace usetl::kernel
