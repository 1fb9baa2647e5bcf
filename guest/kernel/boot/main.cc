// main.cc: from the host's first instruction to the program's.
#include "guest/kernel/boot/elf_loader.h"
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/devices.h"
#include "guest/kernel/file/output.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/http.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

extern "C" {
extern void (*const kernel_init_begin[])();
extern void (*const kernel_init_end[])();
extern uint64_t g_kernel_stack_top;
extern uint8_t boot_stack_top[];
void SwitchStacks(uint64_t* save, uint64_t stack);

// Objects of the kernel live as long as the VM.
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
void* __dso_handle = nullptr;
}

namespace usetl::kernel {
namespace {

void OpenStandardFiles() {
  File* null = nullptr;
  if (OpenDevice("null", 0, &null) != 0) Panic("no /dev/null");
  InstallFileAt(null, false, 0);
  for (int stream = 1; stream <= 2; ++stream) {
    File* output = CreateOutput(stream);
    if (output == nullptr) Panic("out of memory at boot");
    InstallFileAt(output, false, stream);
  }
}

void StartProgram() {
  const auto& boot = *reinterpret_cast<const abi::Boot*>(abi::kControl.base + abi::kBootOffset);
  if (boot.magic != abi::kBootMagic || boot.argc == 0) Panic("the boot pages are empty");
  Program program;
  if (const int64_t error = LoadProgram(boot.strings, &program); error != 0) {
    Panic("cannot load %s: error %d", boot.strings, -error);
  }
  const int64_t stack = BuildStack(program);
  if (stack < 0) Panic("cannot build the first stack: error %d", -stack);
  TrapFrame frame{};
  frame.rip = program.entry;
  frame.rsp = static_cast<uint64_t>(stack);
  frame.cs = kUserCodeSelector;
  frame.ss = kUserDataSelector;
  frame.rflags = kInitialFlags;
  if (CreateThread(frame, 0) == nullptr) Panic("out of memory at boot");
}

}  // namespace

extern "C" [[noreturn]] void KernelMain() {
  for (auto init = kernel_init_begin; init != kernel_init_end; ++init) (*init)();
  // Until the first switch this boot stack plays the part of a thread.
  static Thread boot_thread;
  static uint8_t vectors[4096] __attribute__((aligned(64)));
  boot_thread.vector_state = vectors;
  g_current = &boot_thread;
  g_kernel_stack_top = reinterpret_cast<uint64_t>(boot_stack_top);
  if (host_page().abi_version != abi::kAbiVersion) Panic("the host speaks another ABI version");
  InitIdentity();
  InitHeap();
  InitMailbox(DeliverHttpRecord);
  InitRoot();
  OpenStandardFiles();
  StartProgram();
  Sleep(kNever, /*interruptible=*/false);
  Panic("the boot thread woke up");
}

}  // namespace usetl::kernel
