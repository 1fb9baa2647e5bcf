#include "guest/kernel/file/devices.h"

#include "guest/kernel/file/output.h"
#include "guest/kernel/file/terminal.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/http.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/host/random.h"
#include "guest/kernel/host/ready.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

// What all character devices share.
class Device : public File {
 public:
  int64_t Name(char* buffer, uint64_t size) override {
    return Format(buffer, static_cast<uint32_t>(size), "/dev/%s", name);
  }
  const char* name = "";  // below /dev; static text
  int64_t Seek(int64_t, int) override { return 0; }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeCharacter | 0666;
    stat->block_size = 4096;
    stat->links = 1;
    return 0;
  }
};

class NullDevice final : public Device {
 public:
  int64_t Read(void*, uint64_t) override { return 0; }
  int64_t Write(const void*, uint64_t size) override { return static_cast<int64_t>(size); }
};

class ZeroDevice final : public Device {
 public:
  explicit ZeroDevice(bool full) : full_(full) {}
  int64_t Read(void* user, uint64_t size) override {
    return ZeroUser(user, size) ? static_cast<int64_t>(size) : -EFAULT;
  }
  int64_t Write(const void*, uint64_t size) override {
    return full_ ? -ENOSPC : static_cast<int64_t>(size);
  }

 private:
  bool full_;
};

class RandomDevice final : public Device {
 public:
  int64_t Read(void* user, uint64_t size) override {
    uint8_t bytes[256];
    for (uint64_t done = 0; done < size;) {
      const uint64_t chunk = size - done < sizeof bytes ? size - done : sizeof bytes;
      FillRandom(bytes, chunk);
      if (!CopyToUser(static_cast<uint8_t*>(user) + done, bytes, chunk)) return -EFAULT;
      done += chunk;
    }
    return static_cast<int64_t>(size);
  }
  int64_t Write(const void*, uint64_t size) override { return static_cast<int64_t>(size); }
};

// Whole records, header included, to and from the host. A kReady record is the snapshot point.
class MailboxDevice final : public Device {
 public:
  int64_t Read(void* user, uint64_t size) override {
    SetAgentReads(true);
    const int64_t result = ReadRecord(user, size);
    SetAgentReads(false);
    if (result > 0) TakeStopBehind();
    return result;
  }
  int64_t ReadRecord(void* user, uint64_t size) {
    for (;;) {
      PollMailbox();
      if (Record* record = agent_records().first()) {
        if (record->header.size > size) return -EMSGSIZE;
        const uint32_t payload = record->header.size - sizeof record->header;
        auto* to = static_cast<uint8_t*>(user);
        if (!CopyToUser(to, &record->header, sizeof record->header) ||
            !CopyToUser(to + sizeof record->header, record->payload, payload)) {
          return -EFAULT;
        }
        const auto got = static_cast<int64_t>(record->header.size);
        Free(agent_records().Pop());
        return got;
      }
      if (status_flags & kNonBlock) return -EAGAIN;
      Waiter waiter(g_current);
      agent_waiters().Add(&waiter);
      if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal) return kRestart;
    }
  }
  int64_t Write(const void* user, uint64_t size) override {
    static uint8_t buffer[abi::kMaxRecord];
    abi::RecordHeader header;
    if (size < sizeof header || size > sizeof buffer) return -EMSGSIZE;
    if (!CopyFromUser(buffer, user, size)) return -EFAULT;
    memcpy(&header, buffer, sizeof header);
    if (header.size != size) return -EINVAL;
    const auto type = static_cast<abi::RecordType>(header.type);
    if (type == abi::RecordType::kReady)
      return ReachReady() == 0 ? static_cast<int64_t>(size) : -EBUSY;
    switch (type) {
      case abi::RecordType::kLoaded:
      case abi::RecordType::kResult:
      case abi::RecordType::kRelease:
      case abi::RecordType::kAnswerHead:
      case abi::RecordType::kAnswerData:
      case abi::RecordType::kBodyTaken:
        break;
      default:
        return -EINVAL;
    }
    PostRecord(type, header.id, buffer + sizeof header, header.size - sizeof header);
    // It is on its way to the next record: a stop that comes now is its own, not the function's.
    if (type == abi::RecordType::kLoaded || type == abi::RecordType::kResult) SetAgentReads(true);
    return static_cast<int64_t>(size);
  }
  uint32_t Poll() override { return (agent_records().empty() ? 0 : kPollIn) | kPollOut; }
  WaitQueue* wait_queue() override { return &agent_waiters(); }
};

// The bytes of the host region, for mmap.
class HostRegionDevice final : public Device {
 public:
  int64_t GetStat(Stat* stat) override {
    Device::GetStat(stat);
    stat->size = static_cast<int64_t>(host_page().host_region_size);
    return 0;
  }
  int64_t Map(uint64_t offset, uint64_t length, const MapAccess&, MapSource* source) override {
    const uint64_t size = host_page().host_region_size;
    if (offset > size || length > size - offset) return -ENXIO;
    *source = {abi::kHostRegion.base + offset, size - offset, false};
    return 0;
  }
};

// The generation of this restore, eight bytes.
class StateDevice final : public Device {
 public:
  int64_t Read(void* user, uint64_t size) override { return ReadAt(user, size, 0); }
  int64_t ReadAt(void* user, uint64_t size, uint64_t) override {
    const uint64_t generation = host_page().generation;
    if (size < sizeof generation) return -EINVAL;
    return PutUser(static_cast<uint64_t*>(user), generation) ? sizeof generation : -EFAULT;
  }
};

template <typename T, typename... Args>
int64_t Make(const char* name, File** file, Args... args) {
  T* device = New<T>(args...);
  *file = device;
  if (device == nullptr) return -ENOMEM;
  device->name = name;
  return 0;
}

bool Is(const char* a, const char* b) {
  const size_t length = strlen(b);
  return strlen(a) == length && memcmp(a, b, length) == 0;
}

constexpr const char* kNames[] = {"null",   "zero",   "full", "random", "urandom",
                                  "stdout", "stderr", "tty",  nullptr};
constexpr const char* kUsetlNames[] = {"mailbox", "http", "host", "state", nullptr};

int64_t Create(const char* name, File** file) {
  if (Is(name, "null")) return Make<NullDevice>("null", file);
  if (Is(name, "zero")) return Make<ZeroDevice>("zero", file, false);
  if (Is(name, "full")) return Make<ZeroDevice>("full", file, true);
  if (Is(name, "random") || Is(name, "urandom")) return Make<RandomDevice>("urandom", file);
  if (Is(name, "stdout") || Is(name, "stderr")) {
    *file = CreateOutput(name[3] == 'o' ? 1 : 2);
    return *file == nullptr ? -ENOMEM : 0;
  }
  if (Is(name, "tty")) {
    *file = ControllingTerminal();
    return *file == nullptr ? -ENXIO : 0;
  }
  if (Is(name, "usetl/mailbox")) return Make<MailboxDevice>("usetl/mailbox", file);
  if (Is(name, "usetl/host")) return Make<HostRegionDevice>("usetl/host", file);
  if (Is(name, "usetl/state")) return Make<StateDevice>("usetl/state", file);
  if (Is(name, "usetl/http")) {
    *file = CreateTransaction();
    return *file == nullptr ? -ENOMEM : 0;
  }
  return -ENOENT;
}

}  // namespace

int64_t OpenDevice(const char* name, int flags, File** file) {
  const int64_t error = Create(name, file);
  if (error == 0)
    (*file)->status_flags = static_cast<uint32_t>(flags) & (kAccessMode | kNonBlock | kAppend);
  return error;
}

const char* DeviceName(bool usetl, uint32_t index) {
  return usetl ? kUsetlNames[index] : kNames[index];
}

}  // namespace usetl::kernel
