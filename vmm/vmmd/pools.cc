// pools.cc: the pool of the node's runtime, and those of images, which come and go with their use.
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>

#include "vmm/base/image_runtime.h"
#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

using SteadyClock = std::chrono::steady_clock;

// After its last use an image's pool keeps one USF ready for so long, and then none.
constexpr std::chrono::minutes kReserve{10};
constexpr std::chrono::seconds kLook{1};  // at the files of images' runtimes

}  // namespace

std::unique_ptr<Pool> Vmmd::NewPool(Runtime runtime, PoolOptions options) {
  auto pool = std::make_unique<Pool>(options_.usf, options, std::move(runtime), &counters_);
  pool->watch = [this, raw = pool.get()](int fd) {
    const Status status = Watch(fd);
    if (!status.ok()) raw->launch_error = status.message();
  };
  pool->unwatch = [this](int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); };
  pool->on_idle = [] {};
  return pool;
}

Result<Pool*> Vmmd::FindPool(const std::string& runtime) {
  if (runtime == pool_->runtime()) return pool_.get();
  if (options_.image_runtimes.empty() || !IsImageRuntime(runtime)) {
    return Status(ENOENT, "this node keeps no pool of runtime '" + runtime + "'");
  }
  LookAtImages();
  if (!image_pools_.contains(runtime)) USETL_RETURN_IF_ERROR(OpenImagePool(runtime));
  ImagePool& image = image_pools_.at(runtime);
  image.used = SteadyClock::now();
  return image.pool.get();
}

// Takes the loop some 50 ms, most of it the snapshot's checksum: once for an image.
Status Vmmd::OpenImagePool(const std::string& runtime) {
  const std::string& directory = options_.image_runtimes;
  struct stat file;
  if (stat((directory + "/" + runtime + "/snapshot").c_str(), &file) != 0) {
    return Status::Errno("runtime '" + runtime + "' in " + directory);
  }
  Result<Runtime> opened = OpenRuntime(directory, runtime, options_.kernel);
  if (!opened.ok()) return opened.status();
  const uint64_t least = opened->snapshot.index().ram_size;
  if (options_.usf.ram_limit < least) {
    return Status(EINVAL, "runtime '" + runtime + "' wants " + std::to_string(least >> 20) +
                              " MB, this node gives a function less (usetl up --memory)");
  }
  PoolOptions none = options_.pool;
  none.size = 0;
  ImagePool& image = image_pools_[runtime];
  image.pool = NewPool(std::move(*opened), none);
  image.device = file.st_dev;
  image.inode = file.st_ino;
  return Status();
}

void Vmmd::LookAtImages() {
  looked_ = SteadyClock::now();
  for (auto it = image_pools_.begin(); it != image_pools_.end();) {
    const auto item = it++;
    ImagePool& image = item->second;
    struct stat file;
    const std::string path = options_.image_runtimes + "/" + item->first + "/snapshot";
    const bool gone =
        stat(path.c_str(), &file) != 0 || file.st_dev != image.device || file.st_ino != image.inode;
    if (!gone && looked_ - image.used < kReserve) continue;
    old_pools_.push_back(std::move(image.pool));
    image_pools_.erase(item);
  }
  std::erase_if(old_pools_, [this](const std::unique_ptr<Pool>& pool) {
    const bool awaited = std::ranges::any_of(
        connections_, [&](const auto& connection) { return connection.second.pool == pool.get(); });
    pool->RemoveIdle();
    return !awaited && pool->usfs().empty();
  });
}

void Vmmd::FollowDemand() {
  if (image_pools_.empty() && old_pools_.empty()) return;
  const auto now = SteadyClock::now();
  if (now - looked_ >= kLook) LookAtImages();
  std::map<const Pool*, uint32_t> demand;
  for (const auto& [fd, connection] : connections_) {
    if (connection.waiting && connection.pool != nullptr) ++demand[connection.pool];
    if (connection.clone && connection.clone->copy == nullptr) ++demand[connection.usf->pool];
  }
  for (auto& [name, image] : image_pools_) {
    const uint32_t waiting = demand[image.pool.get()];
    const bool claimed = image.pool->Count(UsfState::kClaimed) > 0;
    if (claimed || waiting > 0) image.used = now;
    image.pool->set_wanted(std::max<uint32_t>(waiting, 1));
  }
  for (const std::unique_ptr<Pool>& pool : old_pools_) pool->set_wanted(demand[pool.get()]);
}

std::vector<Pool*> Vmmd::Pools() const {
  std::vector<Pool*> pools = {pool_.get()};
  for (const auto& [name, image] : image_pools_) pools.push_back(image.pool.get());
  for (const std::unique_ptr<Pool>& pool : old_pools_) pools.push_back(pool.get());
  return pools;
}

Pool* Vmmd::Lacking() const {
  size_t usfs = 0;
  bool room = false;
  Pool* lacking = nullptr;
  // Images first: whoever waits for one has no other.
  for (Pool* pool : Pools()) {
    usfs += pool->usfs().size();
    room = room || pool->HasIdleOfTenant();
    if (pool->wants_refill() && pool->launch_error.empty()) lacking = pool;
  }
  return usfs < options_.pool.most || room ? lacking : nullptr;
}

Status Vmmd::Refill(Pool* pool) {
  const std::vector<Pool*> pools = Pools();
  size_t usfs = 0;
  for (const Pool* other : pools) usfs += other->usfs().size();
  // Tenants that do not come back must not keep out those that come.
  if (usfs >= options_.pool.most) {
    (void)!std::ranges::any_of(pools, [](Pool* other) { return other->RemoveIdleOfTenant(); });
  }
  return pool->Refill(++last_usf_);
}

UsfHandle* Vmmd::FindUsf(int fd) const {
  for (Pool* pool : Pools()) {
    if (UsfHandle* usf = pool->FindBySocket(fd)) return usf;
  }
  return nullptr;
}

uint32_t Vmmd::Count(UsfState state) const {
  uint32_t count = 0;
  for (const Pool* pool : Pools()) count += pool->Count(state);
  return count;
}

}  // namespace usetl
