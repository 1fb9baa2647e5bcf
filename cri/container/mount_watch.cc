#include "cri/container/mount_watch.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <tuple>

#include "cri/container/contents.h"
#include "cri/container/image_volume.h"

namespace usetl::cri {
namespace {

constexpr char kData[] = "..data";

bool HasData(const std::string& directory) {
  struct stat info;
  return lstat((directory + "/" + kData).c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

// Whether a name in the directory tells of an update: the link, or one of those that lead through
// it, which the kubelet makes and removes after the exchange.
bool Counts(std::string_view name) { return name == kData || !name.starts_with(".."); }

// An update would take away what is mounted within.
bool HasMountWithin(const ContainerRecord& container, const std::string& path) {
  const std::string prefix = path + (path.ends_with('/') ? "" : "/");
  const auto& mounts = container.config().mounts();
  return std::ranges::any_of(mounts, [&](const auto& mount) {
    return mount.container_path().size() > prefix.size() &&
           mount.container_path().starts_with(prefix);
  });
}

}  // namespace

Result<std::unique_ptr<MountWatch>> MountWatch::Create(OnChange on_change) {
  std::unique_ptr<MountWatch> watch(new MountWatch(std::move(on_change)));
  watch->inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  watch->wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch->inotify_.ok() || !watch->wake_.ok()) return Status::Errno("watching mounts");
  watch->thread_ = std::thread([raw = watch.get()] { raw->Run(); });
  return watch;
}

void MountWatch::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void MountWatch::Add(const ContainerRecord& container) {
  const std::lock_guard lock(mutex_);
  for (const auto* mount : MountsThatShow(container.config())) {
    if (!mount->readonly() || IsImageVolume(*mount) || !HasData(mount->host_path()) ||
        HasMountWithin(container, mount->container_path())) {
      continue;
    }
    const int watch = inotify_add_watch(inotify_.get(), mount->host_path().c_str(),
                                        IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR);
    if (watch < 0) {
      spdlog::warn("container {}: changes of {} are not followed: {}", container.id(),
                   mount->host_path(), std::strerror(errno));
      continue;
    }
    added_.push_back({container.id(), mount->container_path()});
    mounts_.emplace(watch, added_.back());
  }
  if (!added_.empty()) eventfd_write(wake_.get(), 1);
}

void MountWatch::Remove(const std::string& container) {
  const std::lock_guard lock(mutex_);
  for (auto it = mounts_.begin(); it != mounts_.end();) {
    if (it->second.container != container) {
      ++it;
      continue;
    }
    const int watch = it->first;
    it = mounts_.erase(it);
    // It may be gone already, with the directory.
    if (!mounts_.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
  }
}

std::vector<MountWatch::Mounted> MountWatch::ReadChanges() {
  alignas(inotify_event) char buffer[16 << 10];
  std::vector<Mounted> changed;
  const std::lock_guard lock(mutex_);
  for (;;) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof buffer);
    if (size <= 0) break;
    const inotify_event* event;
    for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(sizeof *event + event->len)) {
      event = reinterpret_cast<const inotify_event*>(buffer + at);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& [watch, mounted] : mounts_) changed.push_back(mounted);
      } else if (event->len != 0 && Counts(event->name)) {
        const auto [begin, end] = mounts_.equal_range(event->wd);
        for (auto it = begin; it != end; ++it) changed.push_back(it->second);
      }
    }
  }
  changed.insert(changed.end(), added_.begin(), added_.end());
  added_.clear();
  // However often a mount has changed, it is read once.
  const auto key = [](const Mounted& mounted) { return std::tie(mounted.container, mounted.path); };
  std::ranges::sort(changed, {}, key);
  const auto rest = std::ranges::unique(changed, {}, key);
  changed.erase(rest.begin(), rest.end());
  return changed;
}

void MountWatch::Run() {
  for (;;) {
    pollfd fds[] = {{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(fds, std::size(fds), -1) < 0) continue;
    eventfd_t ignored;
    eventfd_read(wake_.get(), &ignored);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    for (const Mounted& mounted : ReadChanges()) {
      on_change_(mounted);
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    // Somebody may change a directory without end: what comes meanwhile is one change.
    constexpr int kPauseMs = 500;
    if (poll(fds + 1, 1, kPauseMs) < 0 && errno != EINTR) return;
  }
}

}  // namespace usetl::cri
