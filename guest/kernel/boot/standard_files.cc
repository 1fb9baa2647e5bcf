#include "guest/kernel/boot/standard_files.h"

#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/file/devices.h"
#include "guest/kernel/file/input.h"
#include "guest/kernel/file/output.h"
#include "guest/kernel/file/terminal.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/thread/thread.h"

extern "C" {
extern uint64_t g_kernel_stack_top;
extern uint8_t boot_stack_top[];
}

namespace usetl::kernel {
namespace {

void Install(File* file, int fd) {
  if (file == nullptr) Panic("out of memory at boot");
  InstallFileAt(file, /*close_on_exec=*/false, fd);
}

}  // namespace

void BecomeBootThread() {
  static uint8_t vectors[4096] __attribute__((aligned(64)));
  static Thread boot_thread;
  boot_thread.vector_state = vectors;
  boot_thread.state = ThreadState::kRunnable;
  g_current = &boot_thread;
  g_kernel_stack_top = reinterpret_cast<uint64_t>(boot_stack_top);
}

void OpenStandardFiles(bool input) {
  File* first = nullptr;
  if (input) {
    first = CreateInput();
    SetInputSink(DeliverInput);
  } else if (OpenDevice("null", 0, &first) != 0) {
    Panic("no /dev/null");
  }
  Install(first, 0);
  for (int stream = 1; stream <= 2; ++stream) Install(CreateOutput(stream), stream);
}

void OpenTerminal(uint16_t columns, uint16_t rows) {
  File* terminal = CreateTerminal(columns, rows);
  if (terminal == nullptr) Panic("out of memory at boot");
  SetInputSink(DeliverTerminalInput);
  for (int fd = 0; fd <= 2; ++fd) {
    if (fd > 0) terminal->Ref();
    Install(terminal, fd);
  }
}

}  // namespace usetl::kernel
