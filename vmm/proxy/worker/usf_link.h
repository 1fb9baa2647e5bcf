// usf_link.h: a worker's hold on a claimed USF: rings, regions, doorbells.
#ifndef USETL_VMM_PROXY_WORKER_USF_LINK_H_
#define USETL_VMM_PROXY_WORKER_USF_LINK_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "vmm/abi/control.h"
#include "vmm/abi/mail.h"
#include "vmm/base/fd.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"
#include "vmm/proxy/region/guest_region_view.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl {

class UsfLink {
 public:
  // Asks vmmd for a USF and maps what comes with it. `vmmd` is a connection; it holds the USF as
  // long as it is open.
  // `cgroups`: that the USF enters. `packs`: layers of the function's image, lowest first. Both
  // stay the caller's. `guest_region`: gets the guest region's file, for another process; null:
  // nobody wants it. `orders`: a socket; ECANCELED when something comes of it before the USF does.
  // `slow`: called once when a second has passed without a USF.
  static Result<std::unique_ptr<UsfLink>> Claim(Fd vmmd, const pool::ClaimRequest& request,
                                                std::span<const Fd> cgroups = {},
                                                std::span<const Fd> packs = {},
                                                Fd* guest_region = nullptr, int orders = -1,
                                                const std::function<void()>& slow = {});

  // A clone of a USF that another link holds, from vmmd's kCloned.
  static Result<std::unique_ptr<UsfLink>> OfClone(ipc::Message cloned);
  // Asks vmmd for one; kCloned comes as a message that vmmd sends. One at a time. `packs`: those of
  // the claim.
  Status RequestClone(std::span<const Fd> packs);
  // The USF may enter its cgroups now, which takes processor time.
  Status LetEnter();
  // Gives the USF back and waits until neither it nor a clone of it is in its cgroups. Nothing else
  // of this can be used afterwards.
  Status Leave();
  // What a clone starts with, once it is rung.
  abi::Boot& boot() const;

  // False: the ring is full; the guest rings the host eventfd when it has made room.
  bool Post(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
            std::span<const uint8_t> tail = {});
  abi::RingRead Take(abi::RecordHeader* header, std::span<const uint8_t>* payload);
  // Bytes of the output ring, -1 when the guest broke it.
  int64_t TakeOutput(void* bytes, uint32_t size);
  // How often its memory limit refused the function something, as the guest says.
  uint64_t memory_refused() const;
  uint64_t memory_limit() const;  // bytes, of the function
  // Of a MemoryError, for people: that the limit refused the function memory, and where it gets
  // more, which is `remedy`. Empty: the limit refused it nothing.
  std::string DescribeMemoryLimit(std::string_view remedy) const;
  // Wakes a guest that waits for room in its rings.
  void RingForRoom();

  // Whether the guest has put anything into its rings.
  bool HasMail() const { return !to_host_.Empty() || !output_.Empty(); }
  // Announces sleep. False: something is there already.
  bool PrepareWait();
  // `rung`: what poll(2) says of event_fd().
  void EndWait(bool rung);

  // A message that vmmd sent unasked.
  Result<ipc::Message> ReceiveFromVmmd() { return ipc::Receive(vmmd_.get()); }
  int vmmd_fd() const { return vmmd_.get(); }
  int event_fd() const { return host_event_.get(); }

  HostRegion& region() { return *region_; }
  const GuestRegionView& guest_region() const { return *guest_view_; }
  uint32_t usf() const { return usf_; }
  // Of the USF's process.
  int32_t usf_pid() const { return usf_pid_; }

 private:
  UsfLink() = default;
  Status Map(const pool::ReplyRecord& reply, std::vector<Fd>* fds);

  Fd vmmd_, host_event_, guest_event_;
  Mapping control_, host_region_, guest_region_;
  std::unique_ptr<HostRegion> region_;
  std::unique_ptr<GuestRegionView> guest_view_;
  abi::RingProducer to_guest_;
  abi::RingConsumer to_host_, output_;
  // Not cleared: only what records fill is touched.
  std::unique_ptr<uint8_t[]> payload_ = std::make_unique_for_overwrite<uint8_t[]>(abi::kMaxRecord);
  uint32_t usf_ = 0;
  int32_t usf_pid_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_USF_LINK_H_
