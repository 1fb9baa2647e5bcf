// control.h: the control window: host page, guest page, boot pages and ring data.
//
// The host page, the boot pages and the data of rings towards the guest are mapped read-only in the
// guest; the guest page and the data of rings towards the host are writable there.
#ifndef USETL_VMM_ABI_CONTROL_H_
#define USETL_VMM_ABI_CONTROL_H_

#include "vmm/abi/layout.h"
#include "vmm/abi/ring.h"

namespace usetl::abi {

// Offsets within the control window.
inline constexpr uint64_t kHostPageOffset = 0x0000;
inline constexpr uint64_t kBootOffset = 0x1000;  // argv and environment of the program
inline constexpr uint64_t kBootSize = 0xf000;
inline constexpr uint64_t kToGuestOffset = 0x1'0000;
inline constexpr uint32_t kToGuestSize = 0x2'0000;
inline constexpr uint64_t kReadOnlySize = kToGuestOffset + kToGuestSize;
inline constexpr uint64_t kGuestPageOffset = 0x3'0000;  // two pages
inline constexpr uint64_t kGuestPageSize = 0x2000;
inline constexpr uint64_t kToHostOffset = 0x4'0000;
inline constexpr uint32_t kToHostSize = 0x2'0000;
inline constexpr uint64_t kOutputOffset = 0x6'0000;
inline constexpr uint32_t kOutputSize = 0x4'0000;
static_assert(kReadOnlySize == kGuestPageOffset && kOutputOffset + kOutputSize <= kControl.size);

// Time: guest nanoseconds = base + ((rdtsc - tsc_base) * mul >> 32). Odd seq: being written.
struct Clock {
  uint32_t seq;
  uint32_t mul;
  uint64_t tsc_base;
  uint64_t monotonic_base;  // CLOCK_MONOTONIC of the host at tsc_base, ns
  uint64_t realtime_base;   // CLOCK_REALTIME of the host at tsc_base, ns
};
static_assert(sizeof(Clock) == 32);

enum Trace : uint32_t { kTraceSyscalls = 1, kTraceFaults = 2, kTraceMemory = 4 };

// Packs of a runtime, and of a function's image.
inline constexpr uint32_t kMaxPacks = 32;
inline constexpr uint32_t kMaxImagePacks = 31;

// Written by usf (first lines) and by the pod's worker (ring lines).
struct HostPage {
  uint32_t abi_version;
  uint32_t trace;       // bits of Trace
  uint64_t generation;  // +1 on every restore; a new one rekeys entropy and fires the hooks
  uint64_t ram_end;     // first address past RAM; grows while a function runs
  uint64_t ram_limit;   // ram_end never passes this; vmmd sets it when a USF is idle
  uint64_t host_region_size;
  uint64_t guest_region_size;
  uint64_t pack_count;
  uint64_t spin_ns;  // how long an idle guest polls before it exits
  Clock clock;
  uint8_t entropy[64];     // fresh on every restore
  uint64_t preempt_rip;    // where the host's preemption interrupted the application
  uint64_t fault_address;  // CR2 as of the last exit: no code at CPL3 can read that register
  uint64_t image_pack_count;
  uint64_t reserved;
  RingLine to_guest;  // producer
  RingLine to_host;   // consumer
  RingLine output;    // consumer
  // By pack number, lowest layer first: those of the runtime, behind them those of the image.
  Window packs[kMaxPacks + kMaxImagePacks];
};
static_assert(offsetof(HostPage, clock) == 64 && offsetof(HostPage, entropy) == 96);
static_assert(offsetof(HostPage, to_guest) == 192 && offsetof(HostPage, packs) == 384);
static_assert(sizeof(HostPage) <= kPageSize);

// ---- Calls to usf: GuestPage::call, then a write to kCallPort. --------------------------------

enum class CallOp : uint32_t {
  kIdle = 1,     // sleep until the ring to the guest has something or `deadline` passes
  kReady = 2,    // snapshot point: returns once in the baking VM, then in every restored one
  kMap = 3,      // carry out `ranges`
  kExit = 4,     // the function is over: `status` as wait(2) has it; text in `report`
  kLog = 5,      // text in `report` for the VMM's log (traces, kernel panics)
  kRelease = 6,  // heap pages in `ranges` are free and zero when touched again
  kGrow = 7,     // raise ram_end to at least `deadline` bytes past kRam.base
  kFault = 8,    // nothing but HostPage::fault_address is wanted
};

enum class RangeOp : uint32_t {
  kAnonymous = 1,  // zone C: fresh zero frames behind [va, va+length)
  kShared = 2,     // zone C: pages of a pack or region at `gpa`
  kProtect = 3,    // zones A and C: other protection for what is present
  kUnmap = 4,      // zone C: nothing there any more, frames freed
};

// kExit's status when the function's memory limit ended it: SIGKILL, marked by the bit of a core
// dump, which that signal never leaves.
inline constexpr int32_t kOutOfMemoryStatus = 9 | 0x80;

// Protection bits as in mmap(2). Write and execute together are refused.
enum Protection : uint32_t { kProtNone = 0, kProtRead = 1, kProtWrite = 2, kProtExec = 4 };

struct RangeRequest {
  RangeOp op;
  uint32_t protection;
  uint64_t va;
  uint64_t length;
  uint64_t gpa;
};
static_assert(sizeof(RangeRequest) == 32);

inline constexpr uint32_t kMaxRanges = 64;
inline constexpr uint32_t kReportSize = 4096;

struct Call {
  CallOp op;
  uint32_t count;  // of ranges, or bytes of report
  int32_t result;  // 0 or -errno, written by the host
  int32_t status;
  uint64_t deadline;  // guest monotonic ns; ~0 is never
  RangeRequest ranges[kMaxRanges];
};
static_assert(sizeof(Call) == 24 + 32 * kMaxRanges);

// Written by the guest; the host copies what it uses.
struct GuestPage {
  uint64_t next_deadline;       // of a timed waiter while the guest runs; ~0 is none
  uint64_t runnable;            // threads that want the vCPU besides the running one
  uint64_t unimplemented;       // system calls answered ENOSYS since the snapshot
  uint64_t last_unimplemented;  // number of the last one
  uint64_t heap_used;           // bytes of RAM handed to the application
  uint64_t memory_refused;      // times that the memory limit left no room for what it asked for
  uint64_t reserved[2];
  RingLine to_guest;                               // consumer
  RingLine to_host;                                // producer
  RingLine output;                                 // producer
  uint8_t unimplemented_by_number[kSyscallCount];  // saturating
  Call call;
  uint8_t report[kReportSize];
};
static_assert(offsetof(GuestPage, to_guest) == 64);
static_assert(sizeof(GuestPage) <= kGuestPageSize);

// ---- Boot pages: what the kernel starts. Zero-terminated strings, one after another. -----------

// Written by usf before the kernel boots, and by the worker of a clone before the clone starts.
struct Boot {
  uint32_t magic;  // kBootMagic
  uint32_t argc;
  uint32_t envc;
  uint32_t strings_size;  // bytes of `strings` in use
  // Of clones only:
  uint32_t has_directory;  // 1: the last string is the directory to start in
  uint32_t terminal;       // 1: standard streams are a terminal
  uint16_t columns, rows;  // of the terminal
  uint32_t reserved;
  // argv (argv[0] is the path of the program; of a clone, it may be looked for in PATH), then the
  // environment, then the directory.
  char strings[kBootSize - 32];
};
inline constexpr uint32_t kBootMagic = 0x544f4f42;
static_assert(sizeof(Boot) == kBootSize);

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_CONTROL_H_
