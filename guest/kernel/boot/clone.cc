// clone.cc: where a clone begins: in the memory of a kernel that ran elsewhere.
//
// The host has copied the kernel's memory, with it the file system, out of a USF that serves a
// container; the application's memory, files and threads stayed behind. Here another program takes
// their place.
#include <asm/errno.h>

#include "guest/kernel/boot/program.h"
#include "guest/kernel/boot/standard_files.h"
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/fs/guest_region.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/operations.h"
#include "guest/kernel/fs/path.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/http.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/host/random.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/socket/names.h"
#include "guest/kernel/thread/futex.h"
#include "guest/kernel/thread/thread.h"
#include "guest/kernel/thread/timer.h"

namespace usetl::kernel {
namespace {

// As shells have it.
constexpr int kNotFound = 127 << 8, kNotExecutable = 126 << 8;

char g_path[kPathMax];

const abi::Boot& BootPages() {
  return *reinterpret_cast<const abi::Boot*>(abi::kControl.base + abi::kBootOffset);
}

void ForgetProcess() {
  ForgetOtherThreads();
  ForgetFutexes();
  ForgetTransactions();
  ForgetDescriptors();
  SocketNames::Forget();
  DisarmAllTimers();
  ForgetMail();
  FreezeMounts();
  ForgetHostFiles();
  ForgetEntropy();
  ResetMappings(/*present=*/false);
  ResetHeap();
  ResetSignals(/*all=*/true);
}

Arguments TakeArguments() {
  const abi::Boot& boot = BootPages();
  Arguments arguments;
  arguments.strings = arguments.path = boot.strings;
  arguments.argc = boot.argc;
  arguments.envc = boot.envc;
  uint64_t at = 0;
  for (uint32_t i = 0; i < boot.argc + boot.envc; ++i) at += strlen(boot.strings + at) + 1;
  arguments.size = static_cast<uint32_t>(at);
  return arguments;
}

// A directory that is gone leaves the program where the container's process was.
void EnterDirectory(const char* path) {
  Walked walked;
  if (WalkExisting(RootNode(), path, true, &walked) != 0) return;
  if (walked.special == nullptr && walked.node->inode->type == InodeType::kDirectory) {
    SetCurrentDirectory(walked.node);
  }
}

bool HasSlash(const char* name) {
  for (; *name != 0; ++name) {
    if (*name == '/') return true;
  }
  return false;
}

// As execvp(3): a name without a slash is looked for in PATH.
int64_t FindProgram(Arguments* arguments) {
  const char* name = arguments->path;
  if (HasSlash(name)) return ResolveProgram(arguments);
  const char* search = FindVariable(*arguments, "PATH");
  if (search == nullptr) search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  int64_t error = -ENOENT;
  while (true) {
    uint64_t length = 0;
    while (search[length] != 0 && search[length] != ':') ++length;
    if (length + strlen(name) + 2 < sizeof g_path) {
      memcpy(g_path, search, length);
      Format(g_path + length, static_cast<uint32_t>(sizeof g_path - length), "%s%s",
             length == 0 ? "" : "/", name);
      arguments->path = g_path;
      const int64_t found = ResolveProgram(arguments);
      if (found == 0) return 0;
      if (found != -ENOENT && found != -ENOTDIR) error = found;
    }
    if (search[length] == 0) return error;
    search += length + 1;
  }
}

[[noreturn]] void Refuse(const char* name, int64_t error) {
  char text[512];
  const bool missing = error == -ENOENT || error == -ENOTDIR;
  const char* why = missing             ? "there is no such program"
                    : error == -EACCES  ? "it may not be executed"
                    : error == -ENOEXEC ? "it is no x86-64 program"
                    : error == -E2BIG   ? "arguments and environment are too long"
                                        : "it cannot be loaded";
  Format(text, sizeof text, "exec \"%s\": %s", name, why);
  ExitVm(missing ? kNotFound : kNotExecutable, text);
}

}  // namespace

extern "C" [[noreturn]] void CloneMain() {
  BecomeBootThread();
  ForgetProcess();
  const abi::Boot& boot = BootPages();
  if (boot.magic != abi::kBootMagic || boot.argc == 0) Panic("the boot pages are empty");
  if (boot.terminal != 0) {
    OpenTerminal(boot.columns, boot.rows);
  } else {
    OpenStandardFiles(/*input=*/true);
  }
  Arguments arguments = TakeArguments();
  if (boot.has_directory != 0) EnterDirectory(boot.strings + arguments.size);
  if (const int64_t error = FindProgram(&arguments); error != 0) Refuse(boot.strings, error);
  if (const int64_t error = StartProgram(arguments); error != 0) Refuse(boot.strings, error);
  UpdateExitWork();
  Sleep(kNever, /*interruptible=*/false);
  Panic("the boot thread woke up");
}

}  // namespace usetl::kernel
