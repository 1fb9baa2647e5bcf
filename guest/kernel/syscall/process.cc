// process.cc: identity, limits and the machine, as the one process of a USF sees them.
#include <asm/errno.h>

#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/fs/operations.h"
#include "guest/kernel/host/clock.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/random.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

struct Limit {
  uint64_t soft, hard;
};

constexpr uint64_t kUnlimited = ~0ull;
constexpr int kLimitCount = 16;

Limit LimitOf(int resource) {
  constexpr int kStack = 3, kProcesses = 6, kFiles = 7, kAddressSpace = 9;
  switch (resource) {
    case kStack:
      return {8 << 20, kUnlimited};
    case kProcesses:
      return {512, 512};
    case kFiles:
      return {GetDescriptorLimit(), kMaxDescriptors};
    case kAddressSpace:
      return {kUnlimited, kUnlimited};
    default:
      return {kUnlimited, kUnlimited};
  }
}

constexpr uint64_t kNameField = 65;  // of uname(2), zero-terminated

// A pod's containers have its name as the first line of /etc/hostname; elsewhere `name` stays.
void ReadNodeName(char* name) {
  File* file;
  if (OpenPath(RootNode(), "/etc/hostname", 0, 0, &file) != 0) return;
  char line[kNameField];
  const int64_t got = file->ReadAt(line, kNameField - 1, 0);
  file->Unref();
  int64_t size = 0;
  while (size < got && line[size] != '\n') ++size;
  if (size == 0) return;
  memset(name, 0, kNameField);
  memcpy(name, line, static_cast<uint64_t>(size));
}

}  // namespace

extern "C" {

int64_t sys_uname(char* user) {
  char names[6][kNameField] = {};
  const char* const values[] = {"Linux",        "usetl",  "6.1.0-usetl",
                                "#1 SMP USETL", "x86_64", "(none)"};
  for (int i = 0; i < 6; ++i) memcpy(names[i], values[i], strlen(values[i]));
  ReadNodeName(names[1]);
  return CopyToUser(user, names, sizeof names) ? 0 : -EFAULT;
}

int64_t sys_getrandom(void* user, uint64_t size, uint32_t flags) {
  constexpr uint32_t kKnownFlags = 7;
  if (flags & ~kKnownFlags) return -EINVAL;
  uint8_t bytes[256];
  uint64_t done = 0;
  while (done < size) {
    const uint64_t chunk = size - done < sizeof bytes ? size - done : sizeof bytes;
    FillRandom(bytes, chunk);
    if (!CopyToUser(static_cast<uint8_t*>(user) + done, bytes, chunk)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    done += chunk;
  }
  return static_cast<int64_t>(done);
}

int64_t sys_prlimit64(int pid, int resource, const Limit* user, Limit* old) {
  if (pid != 0 && pid != ProcessId()) return -ESRCH;
  if (resource < 0 || resource >= kLimitCount) return -EINVAL;
  Limit wanted;
  if (user != nullptr && !GetUser(&wanted, user)) return -EFAULT;
  if (user != nullptr && wanted.soft > wanted.hard) return -EINVAL;
  if (old != nullptr && !PutUser(old, LimitOf(resource))) return -EFAULT;
  constexpr int kFiles = 7;
  if (user != nullptr && resource == kFiles) {
    const uint64_t files = wanted.soft < kMaxDescriptors ? wanted.soft : kMaxDescriptors;
    SetDescriptorLimit(static_cast<uint32_t>(files));
  }
  return 0;
}
int64_t sys_getrlimit(int resource, Limit* user) {
  return sys_prlimit64(0, resource, nullptr, user);
}
int64_t sys_setrlimit(int resource, const Limit* user) {
  return sys_prlimit64(0, resource, user, nullptr);
}

int64_t sys_getrusage(int, uint64_t* user) {
  uint64_t cpu = 0;
  for (Thread* t = g_threads; t != nullptr; t = t->next) cpu += CpuTime(*t);
  uint64_t usage[18] = {};  // struct rusage: user time, system time, peak memory in kB, ...
  usage[0] = cpu / kNanosecondsPerSecond;
  usage[1] = cpu % kNanosecondsPerSecond / 1000;
  usage[4] = HeapUsed() / 1024;
  return CopyToUser(user, usage, sizeof usage) ? 0 : -EFAULT;
}

int64_t sys_sysinfo(void* user) {
  struct {
    int64_t uptime;
    uint64_t loads[3], total, free, shared, buffers, swap, free_swap;
    uint16_t processes, padding;
    uint32_t padding2;
    uint64_t high, free_high;
    uint32_t unit, padding3;
  } info{};
  static_assert(sizeof info == 112);
  info.uptime = static_cast<int64_t>(Monotonic() / kNanosecondsPerSecond);
  info.total = host_page().ram_limit - abi::kHeapBase;
  info.free = info.total > HeapUsed() ? info.total - HeapUsed() : 0;
  info.processes = static_cast<uint16_t>(g_thread_count);
  info.unit = 1;
  return CopyToUser(user, &info, sizeof info) ? 0 : -EFAULT;
}

int64_t sys_getuid() { return 0; }
int64_t sys_getgid() { return 0; }
int64_t sys_geteuid() { return 0; }
int64_t sys_getegid() { return 0; }
int64_t sys_setuid(uint32_t id) { return id == 0 ? 0 : -EPERM; }
int64_t sys_setgid(uint32_t id) { return id == 0 ? 0 : -EPERM; }
int64_t sys_getppid() { return 0; }
int64_t sys_getpgrp() { return 1; }
int64_t sys_getpgid() { return 1; }
int64_t sys_setpgid() { return 0; }
int64_t sys_setsid() { return 1; }
int64_t sys_getsid() { return 1; }
int64_t sys_getgroups() { return 0; }

static int64_t ThreeZeros(uint32_t* a, uint32_t* b, uint32_t* c) {
  const uint32_t zero = 0;
  return PutUser(a, zero) && PutUser(b, zero) && PutUser(c, zero) ? 0 : -EFAULT;
}
int64_t sys_getresuid(uint32_t* a, uint32_t* b, uint32_t* c) { return ThreeZeros(a, b, c); }
int64_t sys_getresgid(uint32_t* a, uint32_t* b, uint32_t* c) { return ThreeZeros(a, b, c); }

// Extended attributes: as a file system without them.
int64_t sys_setxattr() { return -EOPNOTSUPP; }
int64_t sys_lsetxattr() { return -EOPNOTSUPP; }
int64_t sys_fsetxattr() { return -EOPNOTSUPP; }
int64_t sys_getxattr() { return -EOPNOTSUPP; }
int64_t sys_lgetxattr() { return -EOPNOTSUPP; }
int64_t sys_fgetxattr() { return -EOPNOTSUPP; }
int64_t sys_listxattr() { return -EOPNOTSUPP; }
int64_t sys_llistxattr() { return -EOPNOTSUPP; }
int64_t sys_flistxattr() { return -EOPNOTSUPP; }
int64_t sys_removexattr() { return -EOPNOTSUPP; }
int64_t sys_lremovexattr() { return -EOPNOTSUPP; }
int64_t sys_fremovexattr() { return -EOPNOTSUPP; }

int64_t sys_wait4() { return -ECHILD; }

}  // extern "C"
}  // namespace usetl::kernel
