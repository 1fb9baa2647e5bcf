// main.cc: from the host's first instruction to the program's.
#include "guest/kernel/boot/program.h"
#include "guest/kernel/boot/standard_files.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/http.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

extern "C" {
extern void (*const kernel_init_begin[])();
extern void (*const kernel_init_end[])();

// Objects of the kernel live as long as the VM.
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
void* __dso_handle = nullptr;
}

namespace usetl::kernel {
extern "C" [[noreturn]] void KernelMain() {
  for (auto init = kernel_init_begin; init != kernel_init_end; ++init) (*init)();
  BecomeBootThread();
  if (host_page().abi_version != abi::kAbiVersion) Panic("the host speaks another ABI version");
  InitIdentity();
  InitHeap();
  InitMailbox(DeliverHttpRecord);
  InitRoot();
  OpenStandardFiles(/*input=*/false);
  const auto& boot = *reinterpret_cast<const abi::Boot*>(abi::kControl.base + abi::kBootOffset);
  if (boot.magic != abi::kBootMagic || boot.argc == 0) Panic("the boot pages are empty");
  Arguments arguments{boot.strings, boot.strings, boot.strings_size, boot.argc, boot.envc};
  int64_t error = ResolveProgram(&arguments);
  if (error == 0) error = StartProgram(arguments);
  if (error != 0) Panic("cannot start %s: error %d", boot.strings, -error);
  Sleep(kNever, /*interruptible=*/false);
  Panic("the boot thread woke up");
}

}  // namespace usetl::kernel
