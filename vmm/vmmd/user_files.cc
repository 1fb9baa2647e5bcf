#include "vmm/vmmd/user_files.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "vmm/base/thread.h"

namespace usetl {
namespace {

// Of this thread alone: the system call, not the C library's, which changes the process.
Status SetEffectiveUser(uid_t user) {
  return syscall(SYS_setresuid, -1, user, -1) == 0 ? Status() : Status::Errno("setresuid");
}

// The change of user has taken all: the files are root's.
Status RaiseOverride() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return Status::Errno("capget");
  data[0].effective = data[0].permitted & (1u << CAP_DAC_OVERRIDE);
  return syscall(SYS_capset, &header, data) == 0 ? Status() : Status::Errno("capset");
}

}  // namespace

UserFiles::UserFiles() : own_(geteuid()) {}

Result<std::unique_ptr<UserFiles>> UserFiles::Start() {
  std::unique_ptr<UserFiles> files(new UserFiles);
  Result<std::thread> thread = StartThread([raw = files.get()] { raw->Run(); });
  if (!thread.ok()) return thread.status();
  files->thread_ = std::move(*thread);
  return files;
}

UserFiles::~UserFiles() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::vector<Fd>> UserFiles::Open(uid_t user, std::span<const int> files) {
  std::unique_lock lock(mutex_);
  user_ = user;
  files_ = files;
  asked_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !asked_; });
  return std::exchange(opened_, std::vector<Fd>());
}

void UserFiles::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return asked_ || ended_; });
    if (ended_) return;
    Status status = user_ == own_ ? Status() : SetEffectiveUser(user_);
    if (status.ok() && user_ != own_) status = RaiseOverride();
    opened_ = status.ok() ? OpenHere() : Result<std::vector<Fd>>(status);
    // The saved user is still there to go back to, and so are the capabilities.
    const Status back = user_ == own_ ? Status() : SetEffectiveUser(own_);
    if (!back.ok()) {
      // As that user it would open the next USF's files, which is no way on.
      std::fprintf(stderr, "usetl-vmmd: the way back from the user of a USF: %s\n",
                   back.message().c_str());
      std::abort();
    }
    asked_ = false;
    changed_.notify_all();
  }
}

Result<std::vector<Fd>> UserFiles::OpenHere() const {
  std::vector<Fd> opened;
  for (const int file : files_) {
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    opened.emplace_back(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!opened.back().ok()) return Status::Errno("opening a cgroup as a USF's user");
  }
  return opened;
}

}  // namespace usetl
