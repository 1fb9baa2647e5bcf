#include "cri/network/namespaces.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>

namespace usetl::cri {
namespace {

constexpr std::chrono::milliseconds kQuiet{20};

Status BringLoopbackUp() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return Status::Errno("socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return Status::Errno("flags of lo");
  request.ifr_flags |= IFF_UP;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return Status::Errno("bringing lo up");
  return Status();
}

Status WriteText(const std::string& path, std::string_view text) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok()) return Status::Errno("open " + path);
  if (write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return Status();
  }
  return Status::Errno("write " + path);
}

Result<Fd> Make() {
  Fd made;
  Status status;
  // A thread, for the calling one must stay where it is.
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      status = Status::Errno("making a network namespace");
      return;
    }
    status = BringLoopbackUp();
    // Workers serve a pod's ports without privileges.
    if (status.ok()) status = WriteText("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    if (!status.ok()) return;
    made = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!made.ok()) status = Status::Errno("open a network namespace");
  }).join();
  if (!status.ok()) return status;
  return made;
}

}  // namespace

Status EnterNetwork(int network_namespace) {
  if (setns(network_namespace, CLONE_NEWNET) == 0) return Status();
  return Status::Errno("entering a network namespace");
}

Namespaces::Namespaces(std::string directory, size_t ready)
    : directory_(std::move(directory)), wanted_(ready), refill_([this] { Refill(); }) {}

Namespaces::~Namespaces() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  refill_.join();
}

void Namespaces::Refill() {
  std::unique_lock lock(mutex_);
  for (bool quiet = false; !ending_;) {
    if (ready_.size() >= wanted_) {
      changed_.wait(lock);
      quiet = false;
      continue;
    }
    // Not beside the pod that has just taken one, unless half are gone.
    if (!quiet && ready_.size() > wanted_ / 2) {
      quiet = changed_.wait_for(lock, kQuiet) == std::cv_status::timeout;
      continue;
    }
    lock.unlock();
    Result<Fd> made = Make();
    lock.lock();
    if (made.ok()) {
      ready_.push_back(std::move(*made));
    } else {
      // Create() tries by itself and tells its caller.
      changed_.wait_for(lock, std::chrono::seconds(1));
    }
  }
}

std::string Namespaces::PathFor(const std::string& id) const {
  return directory_ + "/usetl-" + id.substr(0, 16);
}

Result<std::string> Namespaces::Create(const std::string& id) {
  Fd made;
  {
    const std::lock_guard lock(mutex_);
    if (!ready_.empty()) {
      made = std::move(ready_.front());
      ready_.pop_front();
    }
  }
  changed_.notify_one();
  if (!made.ok()) {
    Result<Fd> fresh = Make();
    if (!fresh.ok()) return fresh.status();
    made = std::move(*fresh);
  }
  if (mkdir(directory_.c_str(), 0755) != 0 && errno != EEXIST) {
    return Status::Errno("create " + directory_);
  }
  const std::string path = PathFor(id);
  const Fd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file.ok()) return Status::Errno("create " + path);
  const std::string from = "/proc/self/fd/" + std::to_string(made.get());
  if (mount(from.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const Status status = Status::Errno("mount " + path);
    unlink(path.c_str());
    return status;
  }
  return path;
}

Status Namespaces::Remove(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != ENOENT && errno != EINVAL) {
    return Status::Errno("unmount " + path);
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path);
  return Status();
}

Result<Fd> Namespaces::Open(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return Status::Errno("open " + path);
  return fd;
}

}  // namespace usetl::cri
