// mounts.h: a worker's part in mounts: files of their own it changes itself, directories are read
// and changed by its mount service.
#ifndef USETL_VMM_PROXY_POD_MOUNTS_H_
#define USETL_VMM_PROXY_POD_MOUNTS_H_

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/mount_reader.h"
#include "vmm/proxy/pod/mount_service.h"
#include "vmm/proxy/pod/mount_writer.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::pod {

// A guest that asks: the container's, or a clone of it, which may only read. It asks for one thing
// at a time and waits for the answer.
class MountAsker {
 public:
  explicit MountAsker(bool clone) : clone_(clone) {}

 private:
  friend class Mounts;

  const bool clone_;
  std::optional<uint64_t> asked_;               // the id of what the guest waits for
  std::optional<std::vector<uint8_t>> answer_;  // once it is known
  std::set<uint32_t> entries_;                  // of the host region: what it holds
  std::set<uint32_t> handles_;                  // of files: the same
};

// Single-threaded. What files hold goes into the host region.
class Mounts {
 public:
  struct Regions {
    HostRegion* host;  // both must outlive this
    const GuestRegionView* guest;
    const Fd& guest_file;
  };
  // `service`: of mounts 0 to `directories`; none when that is 0. `files`: the mounts behind them.
  static Result<Mounts> Create(MountService service, uint32_t directories, std::vector<Fd> files,
                               const Regions& regions);

  // A kMountChange. EPROTO: the guest breaks the rules.
  Status OnChange(MountAsker* asker, uint64_t id, std::span<const uint8_t> payload);
  // A kRelease. False: the entry is none of the asker's mounts.
  bool OnRelease(MountAsker* asker, uint32_t entry);
  // Its guest is gone, and so will `asker` be.
  void Leave(MountAsker* asker);
  // A kMountClose.
  void OnClose(MountAsker* asker, uint32_t handle);

  // Of the service; -1: none. Call OnService() when it is readable.
  int service_fd() const { return service_.socket.get(); }
  void OnService();

  // Hands an answer that is due to `post`, until that takes it (returns true).
  using Post = std::function<bool(uint64_t id, std::span<const uint8_t> answer)>;
  void Answer(MountAsker* asker, const Post& post);

  // Waits for a change that is under way. False: not done in time.
  bool Finish(const MountAsker& asker, std::chrono::milliseconds patience);

 private:
  // What the service was asked, in order; a bounded number, and no more than fits its socket.
  struct Order {
    MountAsker* asker;  // null: has left
    abi::MountChange change;
    std::vector<uint8_t> payload;
    BodyCursor content;                // what is read
    std::optional<MountAnswer> first;  // to the first piece of it
  };

  Mounts(MountService service, uint32_t directories, MountWriter files, HostRegion* region)
      : service_(std::move(service)),
        directories_(directories),
        files_(std::move(files)),
        region_(region) {}

  int Ask(MountAsker* asker, const MountOrder& order, std::span<const uint8_t> payload);
  bool Send(Order order);
  Result<BodyCursor> Reserve(const MountAsker& asker, const abi::MountChange& change);
  // Of the first order. True: there is more to read.
  bool TakePiece(Order* order, const MountAnswer& answer);
  void EndRead(Order* order);
  // Of what had an asker.
  void Fail(const Order& order, int error);
  void Close(uint32_t handle);
  void SendCloses();
  void OnServiceEnd();

  MountService service_;
  uint32_t directories_;
  MountWriter files_;
  HostRegion* region_;
  std::deque<Order> orders_;
  std::vector<uint32_t> closing_;  // handles that are not closed yet
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNTS_H_
