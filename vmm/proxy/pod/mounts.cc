#include "vmm/proxy/pod/mounts.h"

#include <poll.h>

#include <cstdio>
#include <cstring>

#include "vmm/ipc/socket.h"

namespace usetl::pod {

Result<Mounts> Mounts::Create(Fd service, uint32_t directories, std::vector<Fd> files,
                              const GuestRegionView* region, const Fd& region_file) {
  if (service.ok()) {
    const uint64_t size = region->size();
    const int fds[] = {region_file.get()};
    const Status sent = ipc::Send(service.get(), ipc::Bytes(size), {}, fds);
    if (!sent.ok()) return sent.Annotate("the mount service");
  }
  return Mounts(std::move(service), directories,
                MountWriter(std::move(files), directories, region));
}

Status Mounts::OnChange(uint64_t id, std::span<const uint8_t> payload) {
  if (asked_) return Status(EPROTO, "the guest changes two things of mounts at once");
  Result<MountOrder> order = ReadMountChange(payload);
  if (!order.ok()) return order.status();
  asked_ = id;
  if (order->change.mount >= directories_) {
    error_ = files_.Apply(*order);
  } else if (!service_.ok() || !ipc::Send(service_.get(), payload).ok()) {
    error_ = EIO;
  }
  return Status();
}

void Mounts::OnService() {
  Result<ipc::Message> message = ipc::Receive(service_.get());
  int32_t error = EIO;
  if (message.ok() && asked_ && !error_ && message->bytes.size() == sizeof error) {
    std::memcpy(&error, message->bytes.data(), sizeof error);
    error_ = error;
    return;
  }
  std::fprintf(stderr, "usetl-proxy: the mount service of a container has ended\n");
  service_.Reset();
  if (asked_) error_ = EIO;
}

void Mounts::Answer(const Post& post) {
  if (!asked_ || !error_ || !post(*asked_, {*error_, 0})) return;
  asked_.reset();
  error_.reset();
}

bool Mounts::Finish(std::chrono::milliseconds patience) {
  if (!asked_ || error_ || !service_.ok()) return true;
  pollfd fd{service_.get(), POLLIN, 0};
  if (poll(&fd, 1, static_cast<int>(patience.count())) <= 0) return false;
  OnService();
  return true;
}

}  // namespace usetl::pod
