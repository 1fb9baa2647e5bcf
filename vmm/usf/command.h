// command.h: what usetl-vmmd and a usf process say to each other: fixed-size records.
#ifndef USETL_VMM_USF_COMMAND_H_
#define USETL_VMM_USF_COMMAND_H_

#include <cstdint>

#include "vmm/abi/control.h"

namespace usetl::usf {

// vmmd signals the process with SIGUSR1 after each command, so that a running guest is interrupted.
enum class Command : uint32_t {
  kStart = 1,     // StartCommand with descriptors; answered by kReady or kFailed
  kRollback = 2,  // answered by kRolledBack or kFailed
  // Of two USFs, one after the other (vmm/snapshot/clone.h):
  kCopyOut = 3,  // with descriptors of CopyOutFd; answered by kCopied, the function goes on
  kBecome = 4,   // to an idle one, with descriptors of BecomeFd; answered by kBecame or kFailed. It
                 // starts when the worker rings; the process serves no other function afterwards
  // With descriptors of the files "tasks" of cgroups (version 1): this process enters them.
  // Answered by kMoved with the same `order`; the function goes on.
  kMove = 5,
  // To an idle one, before a worker has it: MapPacksCommand with a descriptor for each layer of an
  // image, lowest first. Gone with the next rollback. Answered by nothing, or by kFailed.
  kMapPacks = 6,
};

enum CopyOutFd : uint32_t { kImageOut, kRegionOut, kCopyOutFdCount };
enum BecomeFd : uint32_t { kImageIn, kSharedRegionIn, kBecomeFdCount };

// Descriptors that come with kStart, in this order, then one per pack.
enum StartFd : uint32_t {
  kKvmFd,
  kSnapshotFd,
  kControlFd,
  kHostRegionFd,
  kGuestRegionFd,
  kHostEventFd,   // rung by the guest for the worker
  kGuestEventFd,  // rung by the worker for the guest
  kEmptyRootFd,   // a directory with nothing in it: the root of the jail
  kNetworkFd,     // an empty network namespace
  kStartFdCount,
};

struct StartCommand {
  Command command;
  uint32_t uid;  // of this USF alone
  uint64_t host_region_size;
  uint64_t guest_region_size;
  uint64_t ram_limit;
  uint64_t spin_ns;
  uint32_t trace;   // abi::Trace
  uint32_t verify;  // 1: prove every rollback
  uint32_t warm;    // dummy runs before kReady
  uint32_t jail;    // 0 only for debugging
};

struct PlainCommand {
  Command command;
  uint32_t order;  // of kCopyOut and kMove: comes back with kCopied, kMoved
};

struct MapPacksCommand {
  Command command;
  uint32_t count;
  uint64_t sizes[abi::kMaxImagePacks];
};

enum class Event : uint32_t {
  kReady = 1,
  kFailed = 2,  // `text` says why; the process ends
  kRolledBack = 3,
  kEnded = 4,   // the function is over; only kRollback is possible now (if `status_valid`)
  kLog = 5,     // a line of a trace
  kCopied = 6,  // `status` 0, or an errno and `text`
  kBecame = 7,
  kMoved = 8,  // `status` 0, or an errno and `text`
  // Text: MissingCalls, of the run that is about to be rolled back or has crashed.
  kMissing = 9,
};

struct EventRecord {
  Event event;
  int32_t status;  // kEnded: as wait(2) has it; kCopied, kMoved: errno
  uint32_t order;  // kCopied, kMoved: of the command
  uint32_t reserved;
  uint32_t usable;  // kEnded: 1 when a rollback can follow; kRolledBack: 1 when another may follow
  uint32_t text_size;  // bytes of text that follow
  uint64_t exits;      // counters since the last kReady or kRolledBack
  uint64_t mapping_calls;
  uint64_t hot_pages;  // kRolledBack
  uint64_t cold_pages;
  uint64_t nanoseconds;  // kRolledBack: how long it took
  uint64_t cpu_ns;       // of this process so far
};

inline constexpr uint32_t kMaxText = 4096;

// How often a system call was answered ENOSYS.
struct MissingCalls {
  uint32_t number;
  uint32_t times;
};

}  // namespace usetl::usf

#endif  // USETL_VMM_USF_COMMAND_H_
