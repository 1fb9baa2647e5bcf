// mounts.h: a worker's part in changes of writable mounts: files it changes itself, directories by
// its mount service.
#ifndef USETL_VMM_PROXY_POD_MOUNTS_H_
#define USETL_VMM_PROXY_POD_MOUNTS_H_

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/mount_writer.h"

namespace usetl::pod {

// Single-threaded. The guest asks for one change at a time and waits for the answer.
class Mounts {
 public:
  // `service`: of mounts 0 to `directories`; none when that is 0. `files`: the mounts behind them.
  // `region`, whose file is `region_file`, must outlive this.
  static Result<Mounts> Create(Fd service, uint32_t directories, std::vector<Fd> files,
                               const GuestRegionView* region, const Fd& region_file);

  // A kMountChange. EPROTO: the guest breaks the rules.
  Status OnChange(uint64_t id, std::span<const uint8_t> payload);

  // Of the service; -1: none. Call OnService() when it is readable.
  int service_fd() const { return service_.get(); }
  void OnService();

  // Hands an answer that is due to `post`, until that takes it (returns true).
  using Post = std::function<bool(uint64_t id, const abi::MountDone& done)>;
  void Answer(const Post& post);

  // Waits for a change that is under way. False: not done in time.
  bool Finish(std::chrono::milliseconds patience);

 private:
  Mounts(Fd service, uint32_t directories, MountWriter files)
      : service_(std::move(service)), directories_(directories), files_(std::move(files)) {}

  Fd service_;
  uint32_t directories_;
  MountWriter files_;
  std::optional<uint64_t> asked_;  // the id of the change that the guest waits for
  std::optional<int> error_;       // its outcome, once it is known
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNTS_H_
