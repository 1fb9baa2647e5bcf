// clones.cc: a second USF with the file system of one that serves a container, for another program.
//
//   holder --kClone--> vmmd --kCopyOut--> original, which goes on after kCopied
//                      vmmd --kBecome--> an idle USF of the same tenant, or a fresh one
//   holder <--kCloned- vmmd <--kBecame---
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "vmm/snapshot/clone.h"
#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

Result<Fd> NewImage() {
  Fd fd(memfd_create("usetl-clone", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return Status::Errno("memfd_create");
  if (ftruncate(fd.get(), kCloneImageSize) != 0) return Status::Errno("sizing a clone's image");
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Status::Errno("sealing a clone's image");
  }
  return fd;
}

}  // namespace

Vmmd::Connection* Vmmd::CloneHolder(const UsfHandle* copy) {
  for (auto& [fd, connection] : connections_) {
    if (connection.clone && connection.clone->copy == copy) return &connection;
  }
  return nullptr;
}

// A worker that a function has taken over may ask without end.
Status Vmmd::CheckClones(const Connection& connection) const {
  constexpr auto kMost = 8;
  if (connection.cloned_from != 0) return Status(EPERM, "a clone cannot be cloned");
  const auto clones = std::ranges::count_if(connections_, [&](const auto& item) {
    return item.second.cloned_from == connection.usf->number();
  });
  if (clones < kMost) return Status();
  return Status(EBUSY, std::to_string(kMost) + " programs run in this container already");
}

void Vmmd::ServeClones() {
  const auto now = std::chrono::steady_clock::now();
  for (auto& [fd, connection] : connections_) {
    if (!connection.clone || connection.clone->copy != nullptr) continue;
    Status failed;
    Pool* const pool = connection.usf->pool;
    if (UsfHandle* copy = pool->ClaimForClone(connection.owner->tenant)) {
      failed = StartClone(&connection, copy);
    } else if (!pool->launch_error.empty()) {
      failed = Status(EIO, pool->launch_error);
    } else if (now >= connection.clone->give_up) {
      failed = Status(EAGAIN, "no USF became ready in time");
    }
    if (!failed.ok()) FailClone(&connection, failed);
  }
}

Status Vmmd::StartClone(Connection* connection, UsfHandle* copy) {
  connection->clone->copy = copy;
  const uint64_t wanted = connection->claim.ram_limit;
  USETL_RETURN_IF_ERROR(copy->SetMemoryLimit(wanted != 0 ? wanted : copy->pool->most_memory()));
  copy->SetOomScore(connection->claim.oom_score);
  Result<Fd> image = NewImage();
  if (!image.ok()) return image.status();
  connection->clone->image = std::move(*image);
  connection->clone->order = ++last_clone_order_;
  return connection->usf->CopyTo(connection->clone->image, *copy, last_clone_order_);
}

void Vmmd::OnCopied(Connection* connection, const usf::EventRecord& event,
                    const std::string& text) {
  // Given up, or of another one that was.
  if (!connection->clone || connection->clone->copy == nullptr ||
      event.order != connection->clone->order) {
    return;
  }
  Status status = event.status == 0 ? Status() : Status(event.status, text);
  if (status.ok() && !connection->clone->packs.empty()) {
    status = connection->clone->copy->MapPacks(connection->clone->packs);
  }
  if (status.ok()) {
    status = connection->clone->copy->BecomeCloneOf(*connection->usf, connection->clone->image);
  }
  if (!status.ok()) FailClone(connection, status);
}

void Vmmd::OnBecame(UsfHandle* copy) {
  Connection* connection = CloneHolder(copy);
  if (connection == nullptr) return copy->pool->Remove(copy);
  Result<std::pair<Fd, Fd>> pair = ipc::Pair();
  if (!pair.ok()) return FailClone(connection, pair.status());
  const int own = pair->first.get();
  if (fcntl(own, F_SETFL, O_NONBLOCK) != 0 || !Watch(own).ok()) {
    return FailClone(connection, Status::Errno("a clone's connection"));
  }
  std::vector<int> fds;
  pool::ReplyRecord reply = Describe(*copy, &fds);
  reply.reply = pool::Reply::kCloned;
  fds.push_back(pair->second.get());
  connection->clone.reset();
  const bool sent = ipc::Send(connection->socket.get(), ipc::Bytes(reply), {}, fds).ok();
  if (!sent) Drop(connection);
  Connection& holder = connections_[own];  // references of a map stay
  holder.owner = connection->owner;
  holder.claim = connection->claim;
  holder.cgroups = connection->cgroups;
  PlanStay(copy, holder.cgroups);
  copy->stay.due = std::chrono::steady_clock::now();  // nobody waits for what it loads
  holder.socket = std::move(pair->first);
  holder.usf = copy;
  holder.number = copy->number();
  holder.cloned_from = connection->usf->number();
  if (!sent) Drop(&holder);
}

void Vmmd::CloseClones(Connection* connection) {
  const uint32_t number = std::exchange(connection->number, 0);
  if (number == 0) return;
  std::vector<int> clones;
  for (const auto& [fd, other] : connections_) {
    if (&other != connection && other.cloned_from == number) clones.push_back(fd);
  }
  for (const int fd : clones) Close(fd);
}

void Vmmd::FailClone(Connection* connection, const Status& cause) {
  UsfHandle* copy = connection->clone->copy;
  connection->clone.reset();
  if (copy != nullptr) copy->pool->Remove(copy);
  pool::ReplyRecord reply{};
  reply.reply = pool::Reply::kCloned;
  reply.error = cause.code();
  Tell(connection, reply, cause.message());
}

}  // namespace usetl
