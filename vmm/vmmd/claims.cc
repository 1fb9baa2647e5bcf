// claims.cc: which USF a worker gets, and what it is told when there is none.
#include <cstring>

#include "vmm/vmmd/daemon.h"
#include "vmm/vmmd/image_packs.h"

namespace usetl {
namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

Status Vmmd::CheckMemory(const Pool& pool, uint64_t wanted) {
  const auto megabytes = [](uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; };
  if (wanted == 0) return Status();
  const std::string whose = "--memory, or the pod's memory limit, ";
  if (wanted < pool.least_memory()) {
    const std::string least = megabytes(pool.least_memory());
    return Status(EINVAL, whose + "is less than the " + least +
                              " that a function of this runtime takes; give " + least + " or more");
  }
  if (wanted > pool.most_memory()) {
    return Status(EINVAL, whose + "exceeds the " + megabytes(pool.most_memory()) +
                              " that this node gives a function; ask for less, or start the node "
                              "with usetl up --memory");
  }
  return Status();
}

// By what regions hold, not by their size: most functions use little of it. So functions that were
// admitted may still fill more than there is, together. A USF that was killed holds its own until
// it has ended.
Status Vmmd::CheckRegions() const {
  const uint64_t size = options_.usf.host_region_size;
  const uint64_t most = Count(UsfState::kClaimed) + reaper_->size();
  if ((most + 1) * size <= options_.regions) return Status();
  const uint64_t held = RegionsHeld();
  if (held + size <= options_.regions) return Status();
  return Status(ENOMEM, "the host regions of running functions hold " + std::to_string(held >> 20) +
                            " of " + std::to_string(options_.regions >> 20) +
                            " MB, too much for another one; wait, or give less --region");
}

uint64_t Vmmd::RegionsHeld() const {
  uint64_t held = reaper_->RegionBytes();
  for (const Pool* pool : Pools()) {
    for (const UsfHandle& usf : pool->usfs()) {
      if (usf.state == UsfState::kClaimed) held += usf.HostRegionBytes();
    }
  }
  return held;
}

void Vmmd::OnClaim(Connection* connection, std::vector<Fd> packs) {
  connection->waited = false;
  Result<std::vector<ImagePack>> taken = TakeImagePacks(std::move(packs));
  if (!taken.ok()) {
    return Answer(connection, nullptr, taken.status().code(), taken.status().message());
  }
  connection->packs = std::move(*taken);
  connection->waiting = true;
  connection->give_up = SteadyClock::now() + std::chrono::milliseconds(connection->claim.wait_ms);
}

void Vmmd::ServeWaiting() {
  const auto now = SteadyClock::now();
  for (auto& [fd, connection] : connections_) {
    if (!connection.waiting) continue;
    if (connection.pool == nullptr) {
      Result<Pool*> found = FindPool(pool::Text(connection.claim.runtime));
      if (!found.ok()) {
        Answer(&connection, nullptr, found.status().code(), found.status().message());
        continue;
      }
      connection.pool = *found;
    }
    Pool* const pool = connection.pool;
    if (const Status fits = CheckMemory(*pool, connection.claim.ram_limit); !fits.ok()) {
      Answer(&connection, nullptr, fits.code(), fits.message());
      continue;
    }
    if (const Status room = CheckRegions(); !room.ok()) {
      connection.waited = true;
      if (now >= connection.give_up) Answer(&connection, nullptr, room.code(), room.message());
      continue;
    }
    UsfHandle* usf = pool->Claim(pool::Text(connection.claim.tenant));
    if (usf != nullptr) {
      const uint64_t wanted = connection.claim.ram_limit;
      Status ready = usf->SetMemoryLimit(wanted != 0 ? wanted : pool->most_memory());
      usf->SetOomScore(connection.claim.oom_score);
      if (ready.ok() && !connection.packs.empty()) ready = usf->MapPacks(connection.packs);
      if (ready.ok()) {
        Answer(&connection, usf, 0, "");
      } else {
        pool->Remove(usf);
        Answer(&connection, nullptr, ready.code(), ready.message());
      }
    } else if (!pool->launch_error.empty()) {
      Answer(&connection, nullptr, EIO, pool->launch_error);
    } else if (now >= connection.give_up) {
      Answer(&connection, nullptr, EAGAIN, "no USF became ready in time");
    } else {
      pool->Hurry();
      connection.waited = true;
    }
  }
}

pool::ReplyRecord Vmmd::Describe(const UsfHandle& usf, std::vector<int>* fds) const {
  pool::ReplyRecord reply{};
  reply.usf = usf.number();
  reply.usf_pid = usf.pid();
  reply.host_region_size = options_.usf.host_region_size;
  reply.guest_region_size = options_.usf.guest_region_size;
  reply.huge_pages = options_.usf.huge_pages;
  *fds = {usf.control.get(), usf.host_region.get(), usf.guest_region.get(), usf.host_event.get(),
          usf.guest_event.get()};
  return reply;
}

void Vmmd::Answer(Connection* connection, UsfHandle* usf, int error, const std::string& text) {
  connection->waiting = false;
  connection->pool = nullptr;
  connection->packs.clear();
  connection->usf = usf;
  connection->number = usf == nullptr ? 0 : usf->number();
  ++(usf == nullptr ? claims_failed_ : connection->waited ? claims_waited_ : claims_hit_);
  pool::ReplyRecord reply{};
  std::vector<int> fds;
  if (usf != nullptr) {
    last_claim_ = SteadyClock::now();
    reply = Describe(*usf, &fds);
    PlanStay(usf, connection->cgroups);
  }
  reply.reply = pool::Reply::kClaimed;
  reply.error = error;
  reply.text_size = static_cast<uint32_t>(text.size());
  const std::span body(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  if (!ipc::Send(connection->socket.get(), ipc::Bytes(reply), body, fds).ok()) Drop(connection);
}

}  // namespace usetl
