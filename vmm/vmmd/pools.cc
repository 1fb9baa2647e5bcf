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
// Each holds a snapshot in memory, and opening one stops the loop: neither has to be done as often
// as somebody asks.
constexpr size_t kMostImages = 64;
constexpr std::chrono::seconds kTryAgain{10};  // to open one that cannot be opened

}  // namespace

std::unique_ptr<Pool> Vmmd::NewPool(Runtime runtime, PoolOptions options) {
  auto pool =
      std::make_unique<Pool>(options_.usf, options, std::move(runtime), &counters_, reaper_.get());
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
    return Status(
        ENOENT, "this node keeps no pool of runtime '" + runtime + "', it has " + pool_->runtime() +
                    "; bring up a node with it: usetl up --node DIRECTORY --runtime " + runtime);
  }
  LookAtImages();
  if (!image_pools_.contains(runtime)) USETL_RETURN_IF_ERROR(OpenImagePool(runtime));
  ImagePool& image = image_pools_.at(runtime);
  image.used = SteadyClock::now();
  return image.pool.get();
}

Result<Vmmd::FileIdentity> Vmmd::IdentifySnapshot(const std::string& runtime) const {
  struct stat file;
  if (stat((options_.image_runtimes + "/" + runtime + "/snapshot").c_str(), &file) != 0) {
    return Status::Errno("runtime '" + runtime + "' in " + options_.image_runtimes);
  }
  return FileIdentity{file.st_dev, file.st_ino, file.st_mtim.tv_sec, file.st_mtim.tv_nsec};
}

Status Vmmd::OpenImagePool(const std::string& runtime) {
  const Result<FileIdentity> file = IdentifySnapshot(runtime);
  if (!file.ok()) return file.status();
  const auto now = SteadyClock::now();
  std::erase_if(failed_images_,
                [&](const auto& item) { return now - item.second.when >= kTryAgain; });
  const auto failed = failed_images_.find(runtime);
  if (failed != failed_images_.end() && failed->second.snapshot == *file) return failed->second.why;
  USETL_RETURN_IF_ERROR(MakeRoomForImage());
  const Status opened = OpenImagePool(runtime, *file);
  if (!opened.ok()) failed_images_.insert_or_assign(runtime, FailedImage{*file, opened, now});
  return opened;
}

// Takes the loop some 50 ms, most of it the snapshot's checksum: once for an image.
Status Vmmd::OpenImagePool(const std::string& runtime, const FileIdentity& file) {
  Result<Runtime> opened = OpenRuntime(options_.image_runtimes, runtime, options_.kernel);
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
  image.snapshot = file;
  return Status();
}

// Pools of images that are gone are not counted: each has a USF, and of these there are so many.
Status Vmmd::MakeRoomForImage() {
  if (image_pools_.size() < kMostImages) return Status();
  auto oldest = image_pools_.end();
  for (auto it = image_pools_.begin(); it != image_pools_.end(); ++it) {
    const Pool& pool = *it->second.pool;
    if (pool.Count(UsfState::kClaimed) > 0 || IsAwaited(pool)) continue;
    if (oldest == image_pools_.end() || it->second.used < oldest->second.used) oldest = it;
  }
  if (oldest == image_pools_.end()) {
    return Status(EAGAIN, "functions of " + std::to_string(kMostImages) +
                              " images that bring their own Python run on this node, as many as it "
                              "serves; end one, or use another node");
  }
  old_pools_.push_back(std::move(oldest->second.pool));
  image_pools_.erase(oldest);
  DropOldPools();
  return Status();
}

bool Vmmd::IsAwaited(const Pool& pool) const {
  return std::ranges::any_of(connections_,
                             [&](const auto& item) { return item.second.pool == &pool; });
}

void Vmmd::LookAtImages() {
  looked_ = SteadyClock::now();
  for (auto it = image_pools_.begin(); it != image_pools_.end();) {
    const auto item = it++;
    ImagePool& image = item->second;
    const Result<FileIdentity> file = IdentifySnapshot(item->first);
    const bool gone = !file.ok() || *file != image.snapshot;
    if (!gone && looked_ - image.used < kReserve) continue;
    old_pools_.push_back(std::move(image.pool));
    image_pools_.erase(item);
  }
  DropOldPools();
}

void Vmmd::DropOldPools() {
  std::erase_if(old_pools_, [this](const std::unique_ptr<Pool>& pool) {
    pool->RemoveIdle();
    return !IsAwaited(*pool) && pool->usfs().empty();
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
  size_t usfs = reaper_->size();
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
  size_t usfs = reaper_->size();
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
