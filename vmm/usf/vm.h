// vm.h: one micro-VM: memory, tables, vCPU, and the service of the guest's calls.
//
// Single-threaded; only Kick may be called from a signal handler. After a Status that is not OK the
// VM can only be thrown away.
#ifndef USETL_VMM_USF_VM_H_
#define USETL_VMM_USF_VM_H_

#include <functional>
#include <memory>
#include <string>

#include "vmm/abi/kernel_image.h"
#include "vmm/usf/address_space.h"
#include "vmm/usf/guest_memory.h"

namespace usetl {

struct VmConfig {
  int kvm_fd = -1;
  int host_event_fd = -1;  // rung by the guest through kKickPort
  MemoryConfig memory;
  uint64_t spin_ns = 0;
  uint32_t trace = 0;
};

// Why RunUntilEvent returned.
enum class VmEvent {
  kIdle,         // nothing to do before `deadline`
  kReady,        // the guest reached its snapshot point
  kExited,       // the function is over: `status`, `report`
  kInterrupted,  // Kick() or a signal
  kCrashed,      // the guest broke: `report` says how; the VM is of no use any more
};

struct VmOutcome {
  VmEvent event;
  uint64_t deadline = ~0ull;  // guest monotonic ns
  int status = 0;             // as wait(2) has it
  std::string report;
};

class Vm {
 public:
  // An empty VM: memory and slots, no program.
  static Result<std::unique_ptr<Vm>> Create(const VmConfig& config);

  // Puts the kernel in and makes it start `argv` with `environment`.
  Status Boot(std::span<const uint8_t> kernel_elf, const std::vector<std::string>& argv,
              const std::vector<std::string>& environment);

  Result<VmOutcome> RunUntilEvent();
  void Kick() { machine_->Kick(); }

  // Sends an interrupted application into its kernel, so that other threads get the vCPU. Does
  // nothing when the kernel was interrupted.
  void Preempt();

  // Whether the vCPU stopped within the kernel, whose data may be half-way then. An idle guest
  // stands in its kernel too, with everything in order.
  bool InKernel() const;
  // Makes the kernel that was copied into RAM start a program with an empty address space, when the
  // VM runs next.
  Status StartClone();

  // Gives the idle guest the layers of a function's image, as GuestMemory does, and takes them
  // away.
  Status MapImagePacks(const std::vector<MemoryConfig::Pack>& packs);
  Status UnmapImagePacks();

  GuestMemory& memory() { return *memory_; }
  AddressSpace& address_space() { return *address_space_; }
  Machine& machine() { return *machine_; }
  uint64_t tsc_khz() const { return tsc_khz_; }

  // Adopts an address space and vCPU state that were written into memory (snapshot/).
  Status Adopt(const AddressSpaceState& state, const CpuState& cpu);
  // Host page fields that do not depend on the program.
  void WriteHostPage();

  // Lines that the kernel logs; default: dropped.
  std::function<void(std::string_view)> log;

  // Pages of the RAM at birth that the guest gave back since the last rollback; empty: none.
  std::vector<bool> released;
  uint64_t exits = 0;          // of all kinds
  uint64_t mapping_calls = 0;  // exits that changed mappings

 private:
  // Serves GuestPage::call. True: `outcome` ends the run.
  Result<bool> ServeCall(VmOutcome* outcome);
  void ServeMap();
  void ServeRelease();
  std::string Report(uint32_t size) const;

  VmConfig config_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<AddressSpace> address_space_;
  abi::KernelHeader kernel_{};
  uint64_t tsc_khz_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_USF_VM_H_
