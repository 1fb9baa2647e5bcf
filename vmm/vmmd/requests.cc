// What workers and clients ask for over their connections (vmm/pool/protocol.h).
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "vmm/base/oom_score.h"
#include "vmm/vmmd/daemon.h"
#include "vmm/vmmd/image_packs.h"

namespace usetl {
namespace {

constexpr std::chrono::seconds kClonePatience{10};  // for a USF that becomes the clone

// The process at the other end, as it was when it connected; -1: unknown.
pid_t PeerOf(const Fd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : -1;
}

}  // namespace

void Vmmd::OnConnection(int fd) {
  const auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  Result<ipc::Message> message = ipc::Receive(fd);
  if (message.ok()) return OnRequest(&it->second, std::move(*message));
  // Nothing there: the event was for a connection that had this number before.
  if (message.status().code() != EAGAIN) Close(fd);
}

void Vmmd::OnRequest(Connection* connection, ipc::Message message) {
  pool::PlainRequest plain;
  if (message.bytes.size() < sizeof plain) return Close(connection->socket.get());
  std::memcpy(&plain, message.bytes.data(), sizeof plain);
  switch (plain.request) {
    case pool::Request::kClaim:
      if (!OnClaimRequest(connection, std::move(message))) break;
      return;
    case pool::Request::kRelease: {
      if (!HoldsUsf(*connection) || connection->clone) break;
      CloseClones(connection);
      EndStay(connection->usf);
      connection->releasing = connection->usf->pool->Release(connection->usf);
      if (connection->releasing) return;  // answered when the rollback is done
      AwaitEnd(connection);
      return AnswerLeft(connection);
    }
    case pool::Request::kClone: {
      if (!HoldsUsf(*connection) || connection->clone) break;
      connection->clone.emplace();
      connection->clone->give_up = std::chrono::steady_clock::now() + kClonePatience;
      Result<std::vector<ImagePack>> packs = TakeImagePacks(std::move(message.fds));
      const Status allowed = packs.ok() ? CheckClones(*connection) : packs.status();
      if (!allowed.ok()) return FailClone(connection, allowed);
      connection->clone->packs = std::move(*packs);
      return;
    }
    case pool::Request::kEnter:
      if (!HoldsUsf(*connection)) break;
      return OnEnter(connection);
    case pool::Request::kLeave:
      // Also of one that was lost, whose process may be in the cgroups for a while.
      if (!connection->owner || connection->waiting) break;
      if (connection->releasing || connection->leaving) break;
      return OnLeave(connection);
    case pool::Request::kInspect: {
      if (connection->owner) break;  // nor learn what they are called
      pool::ReplyRecord reply{};
      reply.reply = pool::Reply::kState;
      Tell(connection, reply, Inspect(plain.from));
      return;
    }
  }
  Close(connection->socket.get());  // the peer breaks the rules
}

bool Vmmd::OnClaimRequest(Connection* connection, ipc::Message message) {
  if (message.bytes.size() != sizeof connection->claim || connection->usf != nullptr) return false;
  if (connection->leaving) return false;
  if (connection->cloned_from != 0) return false;  // it was made for its clone
  std::memcpy(&connection->claim, message.bytes.data(), sizeof connection->claim);
  const int score = connection->claim.oom_score;
  if (score < kLeastOomScore || score > kMostOomScore) return false;
  // A worker has got its own while it was root: a function that has taken it over does not put
  // its USF out of the kernel's reach.
  connection->claim.oom_score = std::max(score, OomScoreOf(PeerOf(connection->socket)));
  if (connection->claim.tenant[0] == 0) return false;  // no name means fresh here
  // A worker that a function has taken over must not reach the USFs of other tenants, nor
  // their images.
  const Owner owner{pool::Text(connection->claim.tenant), pool::Text(connection->claim.runtime)};
  std::vector<Fd>& cgroups = message.fds;
  if (connection->claim.packs > cgroups.size()) return false;
  const auto layers = cgroups.end() - connection->claim.packs;
  std::vector<Fd> packs(std::make_move_iterator(layers), std::make_move_iterator(cgroups.end()));
  cgroups.erase(layers, cgroups.end());
  if (connection->owner.value_or(owner) != owner) return false;
  if (connection->owner && !cgroups.empty()) return false;
  connection->owner = owner;
  if (!TakeCgroups(connection, std::move(cgroups))) return false;
  CloseClones(connection);  // of one that was lost
  OnClaim(connection, std::move(packs));
  return true;
}

bool Vmmd::HoldsUsf(const Connection& connection) {
  return connection.usf != nullptr && !connection.releasing && !connection.leaving;
}

void Vmmd::AwaitEnd(Connection* connection) {
  connection->usf = nullptr;
  connection->releasing = false;
  connection->leaving = true;
}

}  // namespace usetl
