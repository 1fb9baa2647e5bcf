#include "guest/kernel/file/output.h"

#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"

namespace usetl::kernel {
namespace {

class OutputFile final : public File {
 public:
  explicit OutputFile(int stream) : stream_(stream) {}
  int64_t Write(const void* user, uint64_t size) override {
    return WriteOutput(stream_, user, size);
  }
  int64_t Seek(int64_t, int) override { return -ESPIPE; }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeFifo | 0600;  // what a program whose output is captured sees
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }

 private:
  int stream_;
};

}  // namespace

File* CreateOutput(int stream) {
  File* file = New<OutputFile>(stream);
  if (file != nullptr) file->status_flags = kWriteOnly;
  return file;
}

}  // namespace usetl::kernel
