// daemon.h: usetl-vmmd: keeps the pool, hands USFs to workers, takes them back.
//
// One epoll loop, which waits for nobody; threads only move processes between cgroups (stays.cc). A
// connection of the socket holds at most one USF; when it closes, the USF goes back. No byte that a
// guest or a network chose is parsed here.
#ifndef USETL_VMM_VMMD_DAEMON_H_
#define USETL_VMM_VMMD_DAEMON_H_

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/ipc/listener.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/pool.h"
#include "vmm/pool/protocol.h"
#include "vmm/vmmd/cgroups.h"
#include "vmm/vmmd/metrics_port.h"
#include "vmm/vmmd/mover.h"
#include "vmm/vmmd/user_files.h"

namespace usetl {

struct VmmdOptions {
  std::string socket;    // path to listen at
  std::string runtimes;  // directory of baked runtimes
  std::string runtime;   // the one whose pool is kept
  // Directory of runtimes that were baked from images, whose pools come and go with their use;
  // empty: there are none.
  std::string image_runtimes;
  std::string kernel;  // path of usetl-kernel.elf
  UsfOptions usf;
  PoolOptions pool;
  std::string metrics;   // ADDRESS:PORT where Prometheus finds the pool's numbers; empty: nowhere
  uint64_t regions = 0;  // most memory of all host regions; 0: half of the machine's
};

class Vmmd {
 public:
  static Result<std::unique_ptr<Vmmd>> Create(VmmdOptions options);

  // Serves until SIGTERM or SIGINT.
  Status Run();

 private:
  // One that a connection has asked for.
  struct Clone {
    UsfHandle* copy = nullptr;  // null: none is ready yet
    uint32_t order = 0;         // of the kCopyOut that its copy waits for
    Fd image;
    std::vector<ImagePack> packs;  // of the function's image
    std::chrono::steady_clock::time_point give_up;
  };
  // Which file a snapshot was read from: another one is renamed to its place.
  struct FileIdentity {
    uint64_t device = 0, inode = 0;
    int64_t changed_s = 0, changed_ns = 0;
    bool operator==(const FileIdentity&) const = default;
  };
  // The USFs of a runtime of an image.
  struct ImagePool {
    std::unique_ptr<Pool> pool;
    FileIdentity snapshot;
    std::chrono::steady_clock::time_point used;
  };
  struct FailedImage {
    FileIdentity snapshot;
    Status why;
    std::chrono::steady_clock::time_point when;
  };
  // Whom a connection serves.
  struct Owner {
    std::string tenant, runtime;
    bool operator==(const Owner&) const = default;
  };
  struct Connection {
    Fd socket;
    CgroupFiles cgroups;  // of its claim; null: none
    UsfHandle* usf = nullptr;
    uint32_t number = 0;   // of the USF it has, or has lost; not of one it has given back
    Pool* pool = nullptr;  // that a claim waits for, while it waits
    bool waiting = false;  // for a USF
    bool waited = false;   // there was none when it asked
    pool::ClaimRequest claim{};
    std::vector<ImagePack> packs;  // of the claim, while it waits
    std::optional<Owner> owner;    // of the first claim, and so of all
    std::chrono::steady_clock::time_point give_up;
    bool releasing = false;  // wants an answer when the rollback is done
    bool leaving = false;    // when no process of it is in its cgroups any more
    std::optional<Clone> clone;
    uint32_t cloned_from = 0;  // number of the USF; 0: it holds no clone
  };

  Vmmd() = default;
  Status SetUp(VmmdOptions options);
  Status Watch(int fd);
  // pools.cc
  std::unique_ptr<Pool> NewPool(Runtime runtime, PoolOptions options);
  // The pool of the runtime; opens that of an image.
  Result<Pool*> FindPool(const std::string& runtime);
  Status OpenImagePool(const std::string& runtime);
  Status OpenImagePool(const std::string& runtime, const FileIdentity& file);
  Result<FileIdentity> IdentifySnapshot(const std::string& runtime) const;
  // Drops the pool that was not used for longest, when there are too many. EAGAIN: all are in use.
  Status MakeRoomForImage();
  bool IsAwaited(const Pool& pool) const;
  std::vector<Pool*> Pools() const;
  // Drops the pools of images that are gone, or were not used for long.
  void LookAtImages();
  // Drops those of old_pools_ that nobody uses any more.
  void DropOldPools();
  // Keeps as many USFs of images as are waited for, and one for a while after their last use.
  void FollowDemand();
  // The next pool that lacks a USF and may have one; null when there is none.
  Pool* Lacking() const;
  Status Refill(Pool* pool);
  UsfHandle* FindUsf(int fd) const;
  uint32_t Count(UsfState state) const;
  void Accept();
  // Without a descriptor left, accept() fails at once and for as long as it is tried.
  void PauseAccepting(const Status& cause);
  void ResumeAccepting();
  void ListenFor(uint32_t events);
  void OnConnection(int fd);
  void OnRequest(Connection* connection, ipc::Message message);
  // False: the peer breaks the rules.
  bool OnClaimRequest(Connection* connection, ipc::Message message);
  void OnClaim(Connection* connection, std::vector<Fd> packs);
  void OnUsf(UsfHandle* usf);
  void ServeWaiting();
  // clones.cc
  void ServeClones();
  Status StartClone(Connection* connection, UsfHandle* copy);
  void OnCopied(Connection* connection, const usf::EventRecord& event, const std::string& text);
  void OnBecame(UsfHandle* copy);
  Status CheckClones(const Connection& connection) const;
  // Tells whoever asked, and throws the copy away.
  void FailClone(Connection* connection, const Status& cause);
  Connection* CloneHolder(const UsfHandle* copy);
  // Ends the clones of the USF that it has or has lost, which read its memory: whoever gets it next
  // has nothing to do with them.
  void CloseClones(Connection* connection);
  // stays.cc
  // False: they are no files of cgroups, or more than a process can be in.
  static bool TakeCgroups(Connection* connection, std::vector<Fd> files);
  void PlanStay(UsfHandle* usf, const CgroupFiles& files);
  Status EnterCgroups(UsfHandle* usf);
  // Sends it home, if it has to go and can. REQUIRES: it is released next.
  void EndStay(UsfHandle* usf);
  Status CheckStay(UsfHandle* usf, const usf::EventRecord& event, const std::string& text);
  void ServeStays();
  int StayPause() const;
  void LoseToStay(Connection* connection, const Status& cause);
  Status StartMover();
  void OnMoved();
  void OnEnter(Connection* connection);
  void OnLeave(Connection* connection);
  // Answers whoever waits for that, once there is none of its processes in its cgroups.
  void AnswerLeft(Connection* connection);
  static Status CheckMemory(const Pool& pool, uint64_t wanted);
  Status CheckRegions() const;
  // By those that serve, and those that were killed.
  uint64_t RegionsHeld() const;
  void ReplaceStuck();
  int RefillPause() const;
  int Patience() const;
  void Answer(Connection* connection, UsfHandle* usf, int error, const std::string& text);
  // What a holder is told of its USF, with the descriptors of ClaimFd.
  pool::ReplyRecord Describe(const UsfHandle& usf, std::vector<int>* fds) const;
  void Tell(Connection* connection, pool::ReplyRecord reply, const std::string& text);
  void Close(int fd);
  void Drop(Connection* connection);
  Connection* HolderOf(const UsfHandle* usf);
  // And has not given it back.
  static bool HoldsUsf(const Connection& connection);
  // It has no USF any more, which was killed; it waits until that has left its cgroups.
  static void AwaitEnd(Connection* connection);
  // With the USFs numbered `from` and up that fit into a message; kNoUsfs: without.
  std::string Inspect(uint32_t from) const;
  // For Prometheus.
  std::string Metrics() const;

  VmmdOptions options_;
  ipc::Listener listener_;
  std::optional<MetricsPort> metrics_;
  Fd epoll_, signals_, kvm_, empty_root_, network_;
  PoolCounters counters_;
  std::unique_ptr<Reaper> reaper_;  // outlives the pools
  std::unique_ptr<Pool> pool_;
  std::map<std::string, ImagePool> image_pools_;
  std::map<std::string, FailedImage> failed_images_;  // that could not be opened, of late
  // Of images that are gone or were made anew: they end with what still runs.
  std::vector<std::unique_ptr<Pool>> old_pools_;
  std::chrono::steady_clock::time_point looked_;  // at image_pools_
  uint32_t last_usf_ = 0;                         // number
  std::map<int, Connection> connections_;
  uint32_t last_clone_order_ = 0;
  HomeCgroups homes_;                      // of this process, and of a USF that serves nobody
  std::unique_ptr<UserFiles> user_files_;  // made for the first pod with cgroups
  std::unique_ptr<Mover> mover_;           // of version 2; ends before the reaper
  std::chrono::steady_clock::time_point last_claim_;
  // Claims by what became of them: served at once, after a wait, with an error.
  uint64_t claims_hit_ = 0, claims_waited_ = 0, claims_failed_ = 0;
  int busy_loops_ = 0;
  std::optional<std::chrono::steady_clock::time_point> accept_again_;  // none: not paused
  bool complained_ = false;  // that connections cannot be accepted
};

}  // namespace usetl

#endif  // USETL_VMM_VMMD_DAEMON_H_
