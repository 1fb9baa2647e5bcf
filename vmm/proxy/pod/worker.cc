#include "vmm/proxy/pod/worker.h"

#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/base/oom_score.h"
#include "vmm/proxy/pod/container.h"
#include "vmm/proxy/pod/mount_service.h"

namespace usetl::pod {
namespace {

constexpr timeval kPatience{10, 0};  // usetld connects to start something, not to wait

// Before there is a container. The start, which usetld has sent or is about to, is read first: an
// answer is lost when this end closes with something unread.
void Refuse(const Fd& usetld, const Status& status) {
  (void)!ipc::Receive(usetld.get()).ok();
  const std::string& text = status.message();
  FailedRecord record{};
  record.header = {Type::kFailed, static_cast<uint32_t>(text.size())};
  record.code = status.code();
  record.reason = Reason::kError;
  // Nobody is left to tell when this fails too.
  (void)!ipc::Send(usetld.get(), ipc::Bytes(record),
                   {reinterpret_cast<const uint8_t*>(text.data()), text.size()})
      .ok();
}

// A number would not do: by the time it is used it may be another process's.
Status TellWho(const Fd& usetld) {
  const Fd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  if (!self.ok()) return Status::Errno("pidfd_open of a worker");
  const Header header{Type::kTaken, 0};
  const int fds[] = {self.get()};
  return ipc::Send(usetld.get(), ipc::Bytes(header), {}, fds);
}

Result<Join> EnterPod(const Fd& usetld) {
  if (setsockopt(usetld.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience) != 0) {
    return Status::Errno("limiting how long usetld is waited for");
  }
  Result<ipc::Message> message = ipc::Receive(usetld.get());
  if (!message.ok()) return message.status().Annotate("a container's join");
  Result<Join> join = ReadJoin(std::move(*message));
  if (!join.ok()) return join.status();
  // Of a host that forbids it usetl-vmmd says so.
  if (join->oom_score != OwnOomScore()) (void)!SetOomScore(0, join->oom_score).ok();
  USETL_RETURN_IF_ERROR(EnterNetwork(join->network));
  join->network.Reset();
  // While there is one thread, and before anything is charged.
  if (!join->cgroups.empty() && EnteredByThread(join->cgroups[0])) {
    USETL_RETURN_IF_ERROR(EnterCgroups(join->cgroups));
    join->cgroups.clear();
  }
  return join;
}

bool HungUp(const Fd& socket) {
  pollfd state{socket.get(), 0, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & POLLHUP) != 0;
}

}  // namespace

void Work(Fd usetld, Result<Fd> vmmd, const etl::ObjectStore& objects,
          const std::function<Status()>& drop_privileges,
          const std::function<Status()>& jail_mount_service) {
  // One heap for both threads: it stays with the container for its life.
  mallopt(M_ARENA_MAX, 1);
  Status status = TellWho(usetld);
  Result<Join> join = status.ok() ? EnterPod(usetld) : Result<Join>(status);
  status = join.status();
  MountService mount_service;
  if (status.ok() && !join->directories.empty()) {
    Result<MountService> service = StartMountService(*join, jail_mount_service);
    status = service.status();
    if (service.ok()) mount_service = std::move(*service);
  }
  if (status.ok()) status = drop_privileges();
  if (status.ok()) status = vmmd.status();
  if (!status.ok()) return Refuse(usetld, status);
  Result<ipc::Message> start = ipc::Receive(usetld.get());
  if (!start.ok()) start = start.status().Annotate("a container's start");
  // Who gave this start up has said that it failed: nobody could end the function.
  if (HungUp(usetld)) return;
  Container container(std::move(usetld), std::move(*join), std::move(mount_service),
                      std::move(*vmmd), objects);
  container.Run(std::move(start));
  // A log whose disk hangs would keep the destructor.
  _exit(0);
}

}  // namespace usetl::pod
