#include "vmm/vmmd/cgroups.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <string>
#include <thread>

namespace usetl {
namespace {

bool IsVersion1(const Fd& file) {
  struct statfs info;
  return fstatfs(file.get(), &info) == 0 && info.f_type == CGROUP_SUPER_MAGIC;
}

// This thread alone: the system calls, not the C library's, which change the process.
Status BecomeUser(uid_t uid) {
  if (syscall(SYS_setresuid, -1, uid, -1) != 0) return Status::Errno("setresuid");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  // The files belong to root.
  data[0].effective = data[0].permitted = 1u << CAP_DAC_OVERRIDE;
  if (syscall(SYS_capset, &header, data) != 0) return Status::Errno("capset");
  return Status();
}

Result<std::vector<Fd>> OpenAs(uid_t uid, const std::vector<Fd>& files) {
  std::vector<Fd> opened;
  Status status;
  std::thread([&] {
    status = BecomeUser(uid);
    for (const Fd& file : files) {
      if (!status.ok()) return;
      const std::string path = "/proc/self/fd/" + std::to_string(file.get());
      opened.emplace_back(open(path.c_str(), O_WRONLY | O_CLOEXEC));
      if (!opened.back().ok()) status = Status::Errno("opening a cgroup as a USF's user");
    }
  }).join();
  if (!status.ok()) return status;
  return opened;
}

}  // namespace

Status EnterCgroups(UsfHandle* usf, const std::vector<Fd>& files) {
  const std::string process = std::to_string(usf->pid());
  std::vector<Fd> own;
  for (const Fd& file : files) {
    if (IsVersion1(file)) {
      own.emplace_back(fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
      if (!own.back().ok()) return Status::Errno("a descriptor of a cgroup");
    } else if (write(file.get(), process.data(), process.size()) < 0) {
      return Status::Errno("moving a USF into its pod's cgroup");
    }
  }
  Result<std::vector<Fd>> opened = OpenAs(usf->uid(), own);
  if (!opened.ok()) return opened.status();
  return usf->EnterCgroups(*opened);
}

}  // namespace usetl
