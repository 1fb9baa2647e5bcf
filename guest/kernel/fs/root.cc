#include "guest/kernel/fs/root.h"
#include "guest/kernel/fs/body.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/clock.h"
#include "guest/kernel/memory/address_space.h"
namespace usetl::kernel {
void InitRoot() {}
int64_t OpenForExec(const char*, File**) {
  Log("mono %u real %u", Monotonic(), Realtime());
  int64_t p = MapMemory(0, 8192, 3, kMapPrivate|kMapAnonymous|kMapDenyWrite, nullptr, 0);
  Log("mapped at %x", p);
  *(volatile uint64_t*)p = 42;
  Log("wrote %u", *(volatile uint64_t*)p);
  return -ENOENT;
}
int64_t PinBody(File*, uint64_t, File**, uint64_t*) { return -1; }
void UnpinBody(File*) {}
int64_t OpenBodyWindow(BodyWindow*) { return -1; }
void CloseBodyWindow(BodyWindow*) {}
}
