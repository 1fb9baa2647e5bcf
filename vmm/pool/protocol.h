// protocol.h: what workers and the command line say to usetl-vmmd: fixed-size records.
#ifndef USETL_VMM_POOL_PROTOCOL_H_
#define USETL_VMM_POOL_PROTOCOL_H_

#include <cstdint>
#include <cstring>
#include <string>

namespace usetl::pool {

enum class Request : uint32_t {
  // ClaimRequest; answered by kClaimed. The claims of a connection are of one tenant and runtime.
  // Descriptors: of the first claim up to kMaxCgroups, open for writing, of the files "tasks" of
  // cgroups of different hierarchies (version 2: one "cgroup.procs"), which the USF's process
  // enters beside the load, its clones too, and leaves when it is released (version 2: it ends
  // instead); then one for each layer of the function's image, lowest first (none: it has none, or
  // the runtime has them). Not on a connection of a clone.
  kClaim = 1,
  // Of the USF that this connection holds, whose clones end; answered by kReleased when it was
  // rolled back, or was thrown away and is in no cgroup any more.
  kRelease = 2,
  kInspect = 3,  // answered by kState: JSON text; "next" in it: where to go on with "from". Not on
                 // a connection that has claimed
  // Of the USF that this connection holds; answered by kCloned when a copy of its kernel stands
  // ready for another program (vmm/snapshot/clone.h). One at a time. With the image's layers.
  kClone = 4,
  // As kRelease, but answered (kReleased) as soon as no process of the USF and its clones is in
  // their cgroups any more. Also when the USF was lost.
  kLeave = 5,
  kEnter = 6,  // nobody waits any more: the USF may enter its cgroups now. Not answered
};

inline constexpr size_t kMaxCgroups = 16;
inline constexpr uint32_t kMostUsfs = 4096;  // of a node

struct ClaimRequest {
  Request request;
  uint32_t wait_ms;    // how long to wait for a USF when none is ready
  uint64_t ram_limit;  // bytes of memory for the function; 0: the node's limit
  uint32_t packs;      // how many descriptors are layers
  int32_t oom_score;   // of the USF's process until its release: -1000 to 1000
  char runtime[64];    // zero-terminated
  char tenant[128];    // zero-terminated; a USF never serves two of them
};

// A text field of a record, whose peer may have left out the zero.
template <size_t N>
std::string Text(const char (&field)[N]) {
  return std::string(field, strnlen(field, N));
}

struct PlainRequest {
  Request request;
  uint32_t from;  // kInspect: the single USFs from this number on, as many as fit; or kNoUsfs
};

inline constexpr uint32_t kNoUsfs = ~0u;

enum class Reply : uint32_t {
  kClaimed = 1,  // ReplyRecord, with the descriptors of ClaimFd when error is 0
  kReleased = 2,
  kState = 3,  // text: JSON
  kEnded = 4,  // unasked: the function of the held USF is over
  kLog = 5,    // unasked: a trace line of the held USF
  // ReplyRecord, with the descriptors of ClaimFd and behind them a connection that holds the clone,
  // when error is 0.
  kCloned = 6,
};

// Descriptors of a claim, in this order.
enum ClaimFd : uint32_t {
  kControlFd,
  kHostRegionFd,
  kGuestRegionFd,
  kHostEventFd,
  kGuestEventFd,
  kClaimFdCount
};

struct ReplyRecord {
  Reply reply;
  int32_t error;       // errno; 0 is success
  int32_t status;      // kEnded: as wait(2) has it; 128+9 and lost=1 when the process died
  uint32_t lost;       // kEnded: 1 when the USF itself is gone
  uint32_t text_size;  // bytes of text that follow
  uint32_t usf;        // number
  uint64_t host_region_size;
  uint64_t guest_region_size;
  uint32_t huge_pages;   // 1: the host region is made of 2 MB pages
  int32_t usf_pid;       // of the USF's process
  uint64_t rollback_ns;  // kReleased
};

}  // namespace usetl::pool

#endif  // USETL_VMM_POOL_PROTOCOL_H_
