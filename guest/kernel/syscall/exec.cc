// exec.cc: execve: another program in the place of this one.
#include <asm/errno.h>

#include "guest/kernel/boot/program.h"
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/linux/fcntl.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/thread/futex.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

// Strings out of application memory that is about to go.
class ArgumentBlock {
 public:
  ~ArgumentBlock() { Free(bytes_); }
  int64_t Reserve() {
    bytes_ = static_cast<char*>(Allocate(kMaxArgumentBytes));
    return bytes_ == nullptr ? -ENOMEM : 0;
  }
  // A list that ends with a null pointer; a null list is empty, as Linux has it.
  int64_t Add(const char* const* list, uint32_t* count) {
    for (*count = 0; list != nullptr; ++*count) {
      const char* text;
      if (!GetUser(&text, list + *count)) return -EFAULT;
      if (text == nullptr) break;
      if (*count == kMaxArguments) return -E2BIG;
      if (const int64_t error = AddText(text); error != 0) return error;
    }
    return 0;
  }
  int64_t AddText(const char* text) {
    const int64_t length = CopyStringFromUser(bytes_ + size_, text, kMaxArgumentBytes - size_);
    if (length < 0) return length == -EFAULT ? -EFAULT : -E2BIG;
    size_ += static_cast<uint32_t>(length) + 1;
    return 0;
  }
  uint32_t size() const { return size_; }
  const char* bytes() const { return bytes_; }
  void Keep() { bytes_ = nullptr; }

 private:
  char* bytes_ = nullptr;
  uint32_t size_ = 0;
};

int64_t Execute(const char* path, const char* const* argv, const char* const* environment) {
  ArgumentBlock block;
  Arguments arguments;
  if (const int64_t error = block.Reserve(); error != 0) return error;
  if (const int64_t error = block.AddText(path); error != 0) return error;
  const uint32_t first = block.size();
  if (const int64_t error = block.Add(argv, &arguments.argc); error != 0) return error;
  if (const int64_t error = block.Add(environment, &arguments.envc); error != 0) return error;
  arguments.path = block.bytes();
  arguments.strings = block.bytes() + first;
  arguments.size = block.size() - first;
  if (const int64_t error = ResolveProgram(&arguments); error != 0) return error;
  block.Keep();
  // From here on there is no way back.
  const uint64_t mask = g_current->signal_mask;
  for (Thread* thread = g_threads; thread != nullptr; thread = thread->next) {
    if (thread != g_current) FileRef::DropAll(thread);
  }
  ForgetOtherThreads();
  ForgetFutexes();
  CloseForExec();
  ResetSignals(/*all=*/false);
  ResetMappings(/*present=*/true);
  ResetHeap();
  if (StartProgram(arguments) != 0) ExitVm(kSigKill, "a program could not be loaded by execve");
  g_threads->signal_mask = mask;
  g_threads->pending_signals = g_current->pending_signals;
  ExitThread();
}

}  // namespace

extern "C" {

int64_t sys_execve(const char* path, const char* const* argv, const char* const* environment) {
  return Execute(path, argv, environment);
}

int64_t sys_execveat(int directory, const char* path, const char* const* argv,
                     const char* const* environment, int flags) {
  char first;
  if (flags != 0) return -EINVAL;
  if (!GetUser(&first, path)) return -EFAULT;
  if (first != '/' && directory != kAtCurrent) return -EINVAL;
  return Execute(path, argv, environment);
}

}  // extern "C"
}  // namespace usetl::kernel
