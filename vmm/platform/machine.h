// machine.h: what the rest of the VMM needs of a platform: one VM with one vCPU.
//
// All calls but Kick() come from the thread that made the machine. Guest memory is the caller's: it
// maps host memory and says where the guest sees it.
#ifndef USETL_VMM_PLATFORM_MACHINE_H_
#define USETL_VMM_PLATFORM_MACHINE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/base/status.h"

namespace usetl {

// General registers in the order of the x86-64 encoding, then RIP and RFLAGS.
struct GeneralRegisters {
  uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  uint64_t rip, rflags;
};

// Where a fresh vCPU starts and which structures it uses.
struct BootState {
  uint64_t entry;          // RIP
  uint64_t stack;          // RSP
  uint64_t root;           // CR3
  uint64_t syscall_entry;  // LSTAR: where platforms without EFER.SCE semantics send `syscall`
};

enum class ExitReason {
  kCall,         // the guest wrote kCallPort
  kInterrupted,  // Kick(), or a signal
  kShutdown,     // triple fault: the machine can only be discarded
  kBadAccess,    // the guest touched a guest-physical address with nothing behind it
  kUnexpected,   // anything that a well-behaved guest never causes
};

struct Exit {
  ExitReason reason;
  uint64_t detail;  // kBadAccess: the address; kUnexpected: the platform's exit number
};

// Opaque to all but the platform that made it; bytes are stable on one build and one machine.
using CpuState = std::vector<uint8_t>;

class Machine {
 public:
  virtual ~Machine() = default;

  // Makes `host` visible at `guest`.
  struct Slot {
    uint32_t number;
    abi::Window guest;
    void* host;
    bool read_only;
    bool log_dirty;
  };
  virtual Status AddSlot(const Slot& slot) = 0;
  // Takes a slot away and adds it again: whatever the platform derived from page tables in it is
  // forgotten. All that the guest touches faults once more, so this is for what is rare.
  virtual Status RenewSlot(const Slot& slot) = 0;

  virtual Status Boot(const BootState& state) = 0;

  // Runs until the guest needs the host. A pending doorbell is completed by the next Run or by
  // CompleteExit.
  virtual Result<Exit> Run() = 0;
  virtual Status CompleteExit() = 0;

  // Ends Run() from another thread or a signal handler; async-signal-safe.
  virtual void Kick() = 0;

  // Registers as of the last exit; changes take effect on the next Run.
  virtual GeneralRegisters registers() const = 0;
  virtual void SetRegisters(const GeneralRegisters& registers) = 0;
  // CR2 as of the last exit: guest code at CPL3 cannot read it.
  virtual uint64_t fault_address() const = 0;
  virtual uint64_t tsc_khz() const = 0;
  // Switches the page-table root on the next Run; other translations stay warm.
  virtual void SetRoot(uint64_t root) = 0;

  // The whole state of the vCPU. REQUIRES: no exit is pending (CompleteExit).
  virtual Result<CpuState> SaveCpu() = 0;
  // Replaces the page-table root within a saved state.
  virtual Status PatchRoot(CpuState* state, uint64_t root) = 0;
  virtual Status LoadCpu(const CpuState& state) = 0;
  // Brings back what a CPL3 guest can change, given the state that LoadCpu had loaded before.
  virtual Status RestoreCpu(const CpuState& state) = 0;
  // Empty when `state` equals the vCPU's state now; else what differs.
  virtual Result<std::string> CompareCpu(const CpuState& state) = 0;

  // Dirty pages of a slot since they were last cleared, one bit per page; the bits stay set.
  virtual Status ReadDirtyLog(uint32_t slot, std::span<uint64_t> bitmap) = 0;
  // Re-protects `pages` pages from `first` (a multiple of 64) whose bit is set in `bitmap`.
  virtual Status ClearDirtyLog(uint32_t slot, uint64_t first, uint32_t pages,
                               std::span<const uint64_t> bitmap) = 0;

  // A guest write to `port` signals `event_fd` without an exit.
  virtual Status BindDoorbell(uint16_t port, int event_fd) = 0;
};

// What snapshots depend on: two hosts with the same words give the guest the same CPU.
Result<std::string> CpuFingerprint();

// `kvm_fd` is an open /dev/kvm; it is not owned.
Result<std::unique_ptr<Machine>> CreateKvmMachine(int kvm_fd);

}  // namespace usetl

#endif  // USETL_VMM_PLATFORM_MACHINE_H_
