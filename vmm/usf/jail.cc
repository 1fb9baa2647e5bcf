#include "vmm/usf/jail.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/usf/seccomp.h"

namespace usetl {
namespace {

Status Limit(__rlimit_resource resource, rlim_t value, const char* name) {
  rlimit limit{value, value};
  return setrlimit(resource, &limit) == 0 ? Status() : Status::Errno(name);
}

}  // namespace

Status EnterJail(const JailConfig& config) {
  if (setns(config.network_fd, CLONE_NEWNET) != 0)
    return Status::Errno("setns to the empty network");
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0) return Status::Errno("unshare");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Status::Errno("making mounts private");
  }
  if (fchdir(config.empty_root_fd) != 0 || chroot(".") != 0 || chdir("/") != 0) {
    return Status::Errno("entering the empty root");
  }
  // The old tree stays mounted below the new root but cannot be named without a descriptor on it.
  close(config.empty_root_fd);
  close(config.network_fd);

  USETL_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  USETL_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, 64, "RLIMIT_NOFILE"));
  USETL_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, config.most_file, "RLIMIT_FSIZE"));
  USETL_RETURN_IF_ERROR(Limit(RLIMIT_MSGQUEUE, 0, "RLIMIT_MSGQUEUE"));

  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
      return Status::Errno("dropping capabilities");
    }
  }
  if (setgroups(0, nullptr) != 0 || setresgid(config.uid, config.uid, config.uid) != 0 ||
      setresuid(config.uid, config.uid, config.uid) != 0) {
    return Status::Errno("becoming the USF's own user");
  }
  // A change of user clears it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  USETL_RETURN_IF_ERROR(Limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC"));
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Status::Errno("PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Status::Errno("PR_SET_NO_NEW_PRIVS");
  return ApplySeccomp(config.purpose == JailPurpose::kBake);
}

}  // namespace usetl
