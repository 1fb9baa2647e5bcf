#include "guest/kernel/file/file.h"
#include "guest/kernel/memory/allocator.h"
namespace usetl::kernel {
void File::Unref() { if (--references_ == 0) delete this; }
int64_t File::Read(void*, uint64_t) { return -EINVAL; }
int64_t File::Write(const void*, uint64_t) { return -EINVAL; }
int64_t File::ReadAt(void*, uint64_t, uint64_t) { return -ESPIPE; }
int64_t File::WriteAt(const void*, uint64_t, uint64_t) { return -ESPIPE; }
int64_t File::Seek(int64_t, int) { return -ESPIPE; }
int64_t File::GetStat(Stat*) { return 0; }
int64_t File::Ioctl(uint64_t, uint64_t) { return -ENOTTY; }
int64_t File::Truncate(uint64_t) { return -EINVAL; }
int64_t File::ReadDirectory(void*, uint64_t) { return -ENOTDIR; }
int64_t File::Map(uint64_t, uint64_t, bool, MapSource*) { return -ENODEV; }
uint32_t File::Poll() { return 5; }
int64_t File::Name(char*, uint64_t) { return 0; }
}
