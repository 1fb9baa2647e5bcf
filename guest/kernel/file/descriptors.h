// descriptors.h: the table of file descriptors of the process.
#ifndef USETL_GUEST_KERNEL_FILE_DESCRIPTORS_H_
#define USETL_GUEST_KERNEL_FILE_DESCRIPTORS_H_

#include <cstdint>

#include "guest/kernel/file/file.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {

inline constexpr uint32_t kMaxDescriptors = 65536;

// The file of a descriptor without a new reference, or null. Valid until something sleeps.
File* GetFile(int fd);

// A reference that lives as long as this object, on the stack of a thread: for calls that may
// sleep.
class FileRef {
 public:
  explicit FileRef(int fd) : file_(GetFile(fd)), next_(g_current->held) {
    if (file_ != nullptr) file_->Ref();
    g_current->held = this;
  }
  ~FileRef() {
    g_current->held = next_;
    if (file_ != nullptr) file_->Unref();
  }
  FileRef(const FileRef&) = delete;
  FileRef& operator=(const FileRef&) = delete;
  File* operator->() const { return file_; }
  File* get() const { return file_; }
  explicit operator bool() const { return file_ != nullptr; }

  // Of a thread that never runs again.
  static void DropAll(Thread* thread);

 private:
  File* file_;
  FileRef* next_;
};

// Takes over the caller's reference. The lowest free descriptor from `lowest` on, or -EMFILE (the
// reference is dropped then).
int64_t InstallFile(File* file, bool close_on_exec, int lowest = 0);
// Takes over the reference; what was at `fd` is closed. `fd` or -errno.
int64_t InstallFileAt(File* file, bool close_on_exec, int fd);
int64_t CloseDescriptor(int fd);

// Whether InstallFile() would find room.
bool HasFreeDescriptor();

// Closes what execve(2) closes.
void CloseForExec();
// Of another process, whose files this one forgets without closing them.
void ForgetDescriptors();

// RLIMIT_NOFILE: new descriptors lie below it.
uint32_t GetDescriptorLimit();
void SetDescriptorLimit(uint32_t limit);

bool GetCloseOnExec(int fd);
void SetCloseOnExec(int fd, bool value);
// The first open descriptor >= fd, or -1.
int NextDescriptor(int fd);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_DESCRIPTORS_H_
