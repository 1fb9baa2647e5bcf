#include "guest/kernel/file/input.h"

#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

RecordQueue g_records;
WaitQueue g_readers;
uint32_t g_taken = 0;  // bytes of the first record that were read
bool g_ended = false;

uint32_t SizeOf(const Record* record) {
  return record->header.size - static_cast<uint32_t>(sizeof record->header);
}

class InputFile final : public File {
 public:
  int64_t Read(void* user, uint64_t size) override {
    if (size == 0) return 0;
    while (g_records.empty()) {
      if (g_ended) return 0;
      if (status_flags & kNonBlock) return -EAGAIN;
      Waiter waiter(g_current);
      g_readers.Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal && g_records.empty()) {
        return kRestart;
      }
    }
    const Record* first = g_records.first();
    const uint32_t left = SizeOf(first) - g_taken;
    const uint32_t count = size < left ? static_cast<uint32_t>(size) : left;
    if (!CopyToUser(user, first->payload + g_taken, count)) return -EFAULT;
    g_taken += count;
    if (g_taken == SizeOf(first)) {
      Free(g_records.Pop());
      g_taken = 0;
    }
    const abi::InputTaken taken{count, 0};
    PostRecord(abi::RecordType::kInputTaken, 0, &taken, sizeof taken);
    return count;
  }
  int64_t Seek(int64_t, int) override { return -ESPIPE; }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeFifo | 0600;
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }
  uint32_t Poll() override {
    return (g_records.empty() && !g_ended ? 0 : kPollIn) | (g_ended ? kPollHup : 0);
  }
  WaitQueue* wait_queue() override { return &g_readers; }
};

}  // namespace

File* CreateInput() { return New<InputFile>(); }

void DeliverInput(Record* record) {
  const bool input = record->header.type == static_cast<uint16_t>(abi::RecordType::kInput);
  if (input && SizeOf(record) == 0) g_ended = true;
  if (!input || g_ended) {
    Free(record);
  } else {
    g_records.Push(record);
  }
  g_readers.Wake();
}

}  // namespace usetl::kernel
