// kvm_machine.h: Machine on /dev/kvm (VMX, SVM and PVM hosts).
#ifndef USETL_VMM_PLATFORM_KVM_KVM_MACHINE_H_
#define USETL_VMM_PLATFORM_KVM_KVM_MACHINE_H_

#include "vmm/base/fd.h"
#include "vmm/platform/kvm/kvm_abi.h"
#include "vmm/platform/machine.h"

namespace usetl::kvm {

// Everything that makes up a vCPU. Guest code at CPL3 can change `regs`, the segment selectors and
// FS/GS bases in `sregs`, and `xsave`; the rest is compared by CompareCpu to prove it.
struct VcpuState {
  kvm_regs regs;
  kvm_sregs sregs;
  Xsave xsave;
  kvm_xcrs xcrs;
  kvm_debugregs debug;
  kvm_vcpu_events events;
  Msrs msrs;
};

class KvmMachine final : public Machine {
 public:
  static Result<std::unique_ptr<Machine>> Create(int kvm_fd);

  Status AddSlot(const Slot& slot) override;
  Status RenewSlot(const Slot& slot) override;
  Status Boot(const BootState& state) override;
  Result<Exit> Run() override;
  Status CompleteExit() override;
  void Kick() override;
  GeneralRegisters registers() const override;
  void SetRegisters(const GeneralRegisters& registers) override;
  uint64_t fault_address() const override { return run_->s.regs.sregs.cr2; }
  uint64_t tsc_khz() const override { return tsc_khz_; }
  void SetRoot(uint64_t root) override;
  Result<CpuState> SaveCpu() override;
  Status PatchRoot(CpuState* state, uint64_t root) override;
  Status LoadCpu(const CpuState& state) override;
  Status RestoreCpu(const CpuState& state) override;
  Result<std::string> CompareCpu(const CpuState& state) override;
  Status ReadDirtyLog(uint32_t slot, std::span<uint64_t> bitmap) override;
  Status ClearDirtyLog(uint32_t slot, uint64_t first, uint32_t pages,
                       std::span<const uint64_t> bitmap) override;
  Status BindDoorbell(uint16_t port, int event_fd) override;

 private:
  Status SetUpVcpu(int kvm_fd);
  Status ReadState(VcpuState* state);

  Fd vm_;
  Fd vcpu_;
  Mapping run_mapping_;
  kvm_run* run_ = nullptr;
  uint64_t tsc_khz_ = 0;
};

}  // namespace usetl::kvm

#endif  // USETL_VMM_PLATFORM_KVM_KVM_MACHINE_H_
