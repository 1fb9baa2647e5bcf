#include "guest/kernel/thread/identity.h"

#include "guest/kernel/host/control.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

// Linux's own largest id is 1 << 22.
constexpr int kRestoredBase = 1 << 16;
constexpr uint64_t kRestoredCount = (1 << 22) - kRestoredBase;

uint64_t g_boot_generation = 0;

}  // namespace

void InitIdentity() { g_boot_generation = host_page().generation; }

int ProcessId() {
  const uint64_t generation = host_page().generation;
  if (generation == g_boot_generation) return kFirstThread;
  return kRestoredBase + static_cast<int>(generation % kRestoredCount);
}

int ThreadId(const Thread& thread) { return thread.tid == kFirstThread ? ProcessId() : thread.tid; }

Thread* ThreadByAnyId(int tid) { return FindThread(tid == ProcessId() ? kFirstThread : tid); }

}  // namespace usetl::kernel
