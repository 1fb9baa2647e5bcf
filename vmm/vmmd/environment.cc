#include "vmm/vmmd/environment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <string>

#include "vmm/pool/tmpfs.h"

namespace usetl {
Result<Fd> MakeEmptyRoot() {
  return DetachedTmpfs({{"mode", "0555"}}, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                               MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

Result<Fd> MakeEmptyNetwork() {
  // The namespace lives as long as the descriptor; the child that makes it ends at once.
  int ready[2], done[2];
  if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(done, O_CLOEXEC) != 0) return Status::Errno("pipe");
  const Fd ready_read(ready[0]), done_read(done[0]);
  Fd ready_write(ready[1]), done_write(done[1]);
  const pid_t child = fork();
  if (child < 0) return Status::Errno("fork");
  if (child == 0) {
    char byte = unshare(CLONE_NEWNET) == 0 ? 1 : 0;
    done_write.Reset();
    if (write(ready_write.get(), &byte, 1) != 1) _exit(1);
    (void)!read(done_read.get(), &byte, 1);  // ends when the parent closes its end
    _exit(0);
  }
  char made = 0;
  const bool answered = read(ready_read.get(), &made, 1) == 1 && made == 1;
  const std::string path = "/proc/" + std::to_string(child) + "/ns/net";
  Fd network(answered ? open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1);
  const Status status =
      network.ok() ? Status() : Status::Errno("making an empty network namespace");
  done_write.Reset();
  waitpid(child, nullptr, 0);
  if (!status.ok()) return status;
  return network;
}

}  // namespace usetl
