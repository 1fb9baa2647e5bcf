#include "vmm/proxy/pod/mount_service.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "vmm/ipc/socket.h"
#include "vmm/proxy/pod/mount_server.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::pod {
namespace {

// Closes what the worker has and the service is not to have.
Status KeepOnly(std::vector<int> keep) {
  for (int fd : {0, 1, 2}) keep.push_back(fd);
  std::ranges::sort(keep);
  unsigned next = 0;
  for (const int fd : keep) {
    const auto kept = static_cast<unsigned>(fd);
    if (kept > next && close_range(next, kept - 1, 0) != 0) return Status::Errno("close_range");
    next = kept + 1;
  }
  return close_range(next, ~0U, 0) == 0 ? Status() : Status::Errno("close_range");
}

static_assert(kFileCapabilities == (1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER));

// Of root's capabilities those that the container has.
Status KeepCapabilities(uint32_t kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  data[0].effective = data[0].permitted = kept;
  return syscall(SYS_capset, &header, data) == 0 ? Status() : Status::Errno("capset");
}

Status BecomeUser(const Identity& identity) {
  const std::vector<gid_t> groups(identity.groups.begin(), identity.groups.end());
  if (setgroups(groups.size(), groups.data()) != 0 ||
      setresgid(identity.gid, identity.gid, identity.gid) != 0) {
    return Status::Errno("the groups of a container");
  }
  if (identity.uid == 0) return KeepCapabilities(identity.capabilities);
  if (setresuid(identity.uid, identity.uid, identity.uid) == 0) return Status();
  return Status::Errno("the user of a container");
}

Status LockUp(const Join& join, int socket, pid_t worker, const std::function<Status()>& jail) {
  // What it writes counts for the pod. Goes on: the worker reports the same error.
  (void)!EnterCgroups(join.cgroups).ok();
  std::vector<int> keep{socket};
  for (const Fd& directory : join.directories) keep.push_back(directory.get());
  USETL_RETURN_IF_ERROR(KeepOnly(std::move(keep)));
  if (fchdir(join.directories[0].get()) != 0 || chroot(".") != 0) return Status::Errno("chroot");
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Status::Errno("RLIMIT_CORE");
  umask(0);
  USETL_RETURN_IF_ERROR(BecomeUser(join.identity));
  // A change of user clears it: after, not before.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  if (getppid() != worker) return Status(ECHILD, "the worker is gone");
  return jail();
}

Result<Mapping> ReceiveRegion(int socket) {
  Result<ipc::Message> message = ipc::Receive(socket);
  if (!message.ok()) return message.status();
  uint64_t size;
  if (message->bytes.size() != sizeof size || message->fds.size() != 1) {
    return Status(EPROTO, "no guest region");
  }
  std::memcpy(&size, message->bytes.data(), sizeof size);
  void* at = mmap(nullptr, size, PROT_READ, MAP_SHARED, message->fds[0].get(), 0);
  if (at == MAP_FAILED) return Status::Errno("mapping the guest region");
  return Mapping(at, size);
}

Status Serve(std::vector<Fd> directories, int socket, std::span<uint8_t> buffer) {
  Result<Mapping> region = ReceiveRegion(socket);
  if (!region.ok()) return region.status();
  const GuestRegionView view(region->data(), region->size());
  MountServer server(std::move(directories), &view, buffer);
  for (;;) {
    Result<ipc::Message> message = ipc::Receive(socket);
    if (!message.ok()) return message.status();
    const Result<MountOrder> order = ReadMountChange(message->bytes);
    if (!order.ok()) return order.status();
    USETL_RETURN_IF_ERROR(ipc::Send(socket, server.Answer(*order).Pack()));
  }
}

}  // namespace

Result<MountService> StartMountService(const Join& join, const std::function<Status()>& jail) {
  Result<std::pair<Fd, Fd>> ends = ipc::Pair();
  if (!ends.ok()) return ends.status();
  constexpr size_t kSize = MountService::kBuffer;
  void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return Status::Errno("a buffer for mounts");
  Mapping buffer(at, kSize);
  const pid_t worker = getpid();
  const pid_t service = fork();
  if (service < 0) return Status::Errno("fork for mounts");
  if (service != 0) return MountService{std::move(ends->first), std::move(buffer)};
  const int socket = ends->second.get();
  Status status = LockUp(join, socket, worker, jail);
  if (status.ok()) {
    // This process ends by _exit: nobody else's Fd may close these.
    std::vector<Fd> directories;
    for (const Fd& directory : join.directories) directories.emplace_back(directory.get());
    status = Serve(std::move(directories), socket, {buffer.data(), buffer.size()});
  }
  if (status.code() != ECONNRESET && status.code() != EPIPE) {  // the worker has ended
    std::fprintf(stderr, "usetl-proxy: mounts: %s\n", status.message().c_str());
  }
  _exit(1);
}

}  // namespace usetl::pod
