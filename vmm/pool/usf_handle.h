// usf_handle.h: vmmd's end of one usf process.
#ifndef USETL_VMM_POOL_USF_HANDLE_H_
#define USETL_VMM_POOL_USF_HANDLE_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/oom_score.h"
#include "vmm/base/status.h"
#include "vmm/pool/reaper.h"
#include "vmm/pool/runtime.h"
#include "vmm/pool/stay.h"
#include "vmm/usf/command.h"

namespace usetl {

// What every USF of a node is made with.
struct UsfOptions {
  std::string program;  // path of usetl-usf
  uint64_t host_region_size = 64 << 20;
  uint64_t guest_region_size = 64 << 20;
  uint64_t ram_limit = 512 << 20;
  uint64_t spin_ns = 50'000;
  uint32_t first_uid = 600'000;
  uint32_t warm_runs = 3;
  uint32_t trace = 0;
  bool verify = false;
  bool jail = true;
  int kvm_fd = -1;
  int empty_root_fd = -1;
  int network_fd = -1;
  bool huge_pages = true;  // of host regions; false: 4 kB pages
};

// A layer of a function's image.
struct ImagePack {
  Fd fd;
  uint64_t size;  // bytes
};

class Pool;

// State machine:  starting -> idle <-> claimed -> rolling -> idle; any -> dead
//                            idle -> cloning -> claimed
enum class UsfState { kStarting, kIdle, kClaimed, kRolling, kCloning, kDead };
const char* Name(UsfState state);

class UsfHandle {
 public:
  // Forks the process and sends it its start command; kReady comes later on socket().
  static Result<UsfHandle> Launch(const UsfOptions& options, const Runtime& runtime,
                                  uint32_t number);
  // Kills the process unless Kill() has, and waits for it: only for one that was in no cgroup yet.
  ~UsfHandle();
  UsfHandle(UsfHandle&& other) noexcept;
  UsfHandle& operator=(UsfHandle&&) = delete;

  // Kills the process, which is whoever's who takes it from then on; this can only be destroyed.
  KilledProcess Kill();

  // While it is made and nobody waits for it, it runs behind those that serve.
  void RunBehind(bool behind);
  // How much memory the next function may have; at most what the USF was made with.
  Status SetMemoryLimit(uint64_t bytes);
  // Of its process, and until it is rolled back. What the kernel refuses is said once, and goes on.
  void SetOomScore(int score);
  // Gives an idle one the layers of an image, lowest first, at most abi::kMaxImagePacks: they are
  // there before it hears of any worker, and until it is rolled back. A process that cannot map
  // them ends.
  Status MapPacks(const std::vector<ImagePack>& packs);
  // Scrubs the host region, which the guest cannot write, and asks for a rollback, within which usf
  // scrubs the rest. EPERM: a worker changed the size of the region. REQUIRES: it has let go.
  Status BeginRollback();

  // Asks for the kernel's pages in an image and the guest region in that of the clone
  // (vmm/snapshot/clone.h): answered by kCopied with the same `order`.
  Status CopyTo(const Fd& image, const UsfHandle& clone, uint32_t order);
  // Makes this one, idle, the clone of the one that wrote `image`: answered by kBecame. It is never
  // used again.
  Status BecomeCloneOf(const UsfHandle& original, const Fd& image);

  // Has the process enter the cgroups of version 1 whose files "tasks" these are, by itself: that
  // takes microseconds, where moving another process takes milliseconds. Answered by kMoved.
  Status MoveTo(std::span<const int> files, uint32_t order);

  // Memory that the host region takes now.
  uint64_t HostRegionBytes() const;

  int socket() const { return socket_.get(); }
  pid_t pid() const { return pid_; }
  uint32_t number() const { return number_; }
  // Of its process, and of no other on the node; root's without a jail.
  uid_t uid() const { return uid_; }

  Pool* pool = nullptr;  // that it belongs to
  UsfState state = UsfState::kStarting;
  std::string tenant;  // empty: none yet
  bool usable = true;  // may be rolled back and used again
  uint64_t uses = 0;
  // When a USF that is starting or rolling back has taken too long.
  std::chrono::steady_clock::time_point due;
  usf::EventRecord last{};  // counters of the last event
  Stay stay;

  Fd control, host_region, guest_region, host_event, guest_event;

 private:
  UsfHandle() = default;
  // Zeroes the host region; what small functions use of it is there, and warm.
  Status WarmHostRegion();

  Fd socket_;
  pid_t pid_ = -1;
  uint32_t number_ = 0;
  uid_t uid_ = 0;
  bool behind_ = false;
  int oom_score_ = OwnOomScore();
  uint64_t host_region_size_ = 0, guest_region_size_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_POOL_USF_HANDLE_H_
