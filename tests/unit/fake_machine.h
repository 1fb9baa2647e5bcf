// fake_machine.h: a platform that remembers its slots, and is no machine.
#ifndef USETL_TESTS_UNIT_FAKE_MACHINE_H_
#define USETL_TESTS_UNIT_FAKE_MACHINE_H_

#include <vector>

#include "vmm/platform/machine.h"

namespace usetl {

class FakeMachine : public Machine {
 public:
  Status AddSlot(const Slot& slot) override {
    slots.push_back(slot);
    return Status();
  }
  Status RenewSlot(const Slot& slot) override {
    renewed.push_back(slot.number);
    return Status();
  }
  Status Boot(const BootState&) override { return Never(); }
  Result<Exit> Run() override { return Never(); }
  Status CompleteExit() override { return Never(); }
  void Kick() override {}
  GeneralRegisters registers() const override { return {}; }
  void SetRegisters(const GeneralRegisters&) override {}
  uint64_t fault_address() const override { return 0; }
  uint64_t tsc_khz() const override { return 0; }
  void SetRoot(uint64_t) override {}
  Result<CpuState> SaveCpu() override { return Never(); }
  Status PatchRoot(CpuState*, uint64_t) override { return Never(); }
  Status LoadCpu(const CpuState&) override { return Never(); }
  Status RestoreCpu(const CpuState&) override { return Never(); }
  Result<std::string> CompareCpu(const CpuState&) override { return Never(); }
  Status ReadDirtyLog(uint32_t, std::span<uint64_t>) override { return Never(); }
  Status ClearDirtyLog(uint32_t, uint64_t, uint32_t, std::span<const uint64_t>) override {
    return Never();
  }
  Status BindDoorbell(uint16_t, int) override { return Never(); }

  std::vector<Slot> slots;
  std::vector<uint32_t> renewed;

 private:
  static Status Never() { return Status(ENOSYS, "a list of slots"); }
};

}  // namespace usetl

#endif  // USETL_TESTS_UNIT_FAKE_MACHINE_H_
