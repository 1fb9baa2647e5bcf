#include "vmm/usf/vm.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "vmm/usf/clock_page.h"
#include "vmm/usf/descriptor_tables.h"
#include "vmm/usf/kernel_loader.h"

namespace usetl {

Result<std::unique_ptr<Vm>> Vm::Create(const VmConfig& config) {
  auto vm = std::make_unique<Vm>();
  vm->config_ = config;
  Result<std::unique_ptr<Machine>> machine = CreateKvmMachine(config.kvm_fd);
  if (!machine.ok()) return machine.status();
  vm->machine_ = std::move(*machine);
  vm->tsc_khz_ = vm->machine_->tsc_khz();
  Result<GuestMemory> memory = GuestMemory::Create(config.memory, vm->machine_.get());
  if (!memory.ok()) return memory.status();
  vm->memory_ = std::make_unique<GuestMemory>(std::move(*memory));
  if (config.host_event_fd >= 0) {
    USETL_RETURN_IF_ERROR(vm->machine_->BindDoorbell(abi::kKickPort, config.host_event_fd));
  }
  return vm;
}

void Vm::WriteHostPage() {
  abi::HostPage& page = memory_->host_page();
  page.abi_version = abi::kAbiVersion;
  page.trace = config_.trace;
  page.ram_end = abi::kRam.base + memory_->ram_size();
  page.ram_limit = abi::kRam.base + config_.memory.ram_limit;
  page.host_region_size = config_.memory.host_region_size;
  page.guest_region_size = config_.memory.guest_region_size;
  page.spin_ns = config_.spin_ns;
  page.pack_count = memory_->packs().size();
  page.image_pack_count = 0;
  for (size_t i = 0; i < memory_->packs().size(); ++i) page.packs[i] = memory_->packs()[i];
}

Status Vm::MapImagePacks(const std::vector<MemoryConfig::Pack>& packs) {
  USETL_RETURN_IF_ERROR(memory_->MapImagePacks(packs, machine_.get()));
  abi::HostPage& page = memory_->host_page();
  const std::vector<abi::Window>& windows = memory_->image_packs();
  std::copy(windows.begin(), windows.end(), page.packs + memory_->packs().size());
  page.image_pack_count = windows.size();
  return Status();
}

Status Vm::UnmapImagePacks() {
  abi::HostPage& page = memory_->host_page();
  page.image_pack_count = 0;
  std::fill(page.packs + memory_->packs().size(), std::end(page.packs), abi::Window{});
  return memory_->UnmapImagePacks();
}

Status Vm::Boot(std::span<const uint8_t> kernel_elf, const std::vector<std::string>& argv,
                const std::vector<std::string>& environment) {
  Result<LoadedKernel> kernel = LoadKernel(kernel_elf, memory_->ram());
  if (!kernel.ok()) return kernel.status();
  kernel_ = kernel->header;
  WriteDescriptorTables(memory_->tables(), kernel_.fault_entries, kernel_.fault_stacks);

  auto& boot = *reinterpret_cast<abi::Boot*>(memory_->control() + abi::kBootOffset);
  boot.magic = abi::kBootMagic;
  boot.argc = static_cast<uint32_t>(argv.size());
  boot.envc = static_cast<uint32_t>(environment.size());
  boot.strings_size = 0;
  for (const auto* list : {&argv, &environment}) {
    for (const std::string& text : *list) {
      if (text.size() + 1 > sizeof boot.strings - boot.strings_size) {
        return Status(E2BIG, "arguments and environment of the runtime exceed 60 kB");
      }
      std::memcpy(boot.strings + boot.strings_size, text.c_str(), text.size() + 1);
      boot.strings_size += static_cast<uint32_t>(text.size() + 1);
    }
  }
  WriteHostPage();
  USETL_RETURN_IF_ERROR(NewGeneration(&memory_->host_page(), tsc_khz_));
  address_space_ =
      std::make_unique<AddressSpace>(memory_.get(), machine_.get(), AddressSpaceState{});
  USETL_RETURN_IF_ERROR(
      address_space_->MapFixedZones(kernel->text_begin, kernel->text_end, kernel->data));
  return machine_->Boot(
      {kernel_.entry, kernel_.boot_stack, address_space_->root(), kernel_.syscall_entry});
}

Status Vm::Adopt(const AddressSpaceState& state, const CpuState& cpu) {
  std::memcpy(&kernel_, memory_->ram() + (abi::kKernelHeader - abi::kKernelImage.base),
              sizeof kernel_);
  address_space_ = std::make_unique<AddressSpace>(memory_.get(), machine_.get(), state);
  USETL_RETURN_IF_ERROR(address_space_->ExtendRegions());
  USETL_RETURN_IF_ERROR(address_space_->Reset(address_space_->state()));  // freezes the tables
  return machine_->LoadCpu(cpu);
}

Result<VmOutcome> Vm::RunUntilEvent() {
  VmOutcome outcome{};
  for (;;) {
    Result<Exit> exit = machine_->Run();
    if (!exit.ok()) return exit.status();
    ++exits;
    memory_->host_page().fault_address = machine_->fault_address();
    char text[160];
    switch (exit->reason) {
      case ExitReason::kCall: {
        Result<bool> ends = ServeCall(&outcome);
        if (!ends.ok()) return ends.status();
        if (*ends) return outcome;
        continue;
      }
      case ExitReason::kInterrupted:
        outcome.event = VmEvent::kInterrupted;
        return outcome;
      case ExitReason::kShutdown:
        std::snprintf(text, sizeof text, "the guest stopped with a triple fault (rip %#lx)",
                      machine_->registers().rip);
        break;
      case ExitReason::kBadAccess:
        std::snprintf(text, sizeof text, "the guest touched %#lx, where nothing is (rip %#lx)",
                      exit->detail, machine_->registers().rip);
        break;
      case ExitReason::kUnexpected:
        std::snprintf(text, sizeof text, "the guest left in an unexpected way (%lu, rip %#lx)",
                      exit->detail, machine_->registers().rip);
        break;
    }
    outcome.event = VmEvent::kCrashed;
    outcome.report = text;
    return outcome;
  }
}

std::string Vm::Report(uint32_t size) const {
  if (size > abi::kReportSize) size = abi::kReportSize;
  std::string text(reinterpret_cast<const char*>(memory_->guest_page().report), size);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
  }
  return text;
}

Result<bool> Vm::ServeCall(VmOutcome* outcome) {
  abi::Call& call = memory_->guest_page().call;
  const abi::CallOp op = call.op;
  const uint32_t count = call.count;
  call.result = 0;
  switch (op) {
    case abi::CallOp::kIdle:
      outcome->event = VmEvent::kIdle;
      outcome->deadline = call.deadline;
      return true;
    case abi::CallOp::kReady:
      outcome->event = VmEvent::kReady;
      return true;
    case abi::CallOp::kExit:
      outcome->event = VmEvent::kExited;
      outcome->status = call.status & 0xffff;
      outcome->report = Report(count);
      return true;
    case abi::CallOp::kLog:
      if (log) log(Report(count));
      return false;
    case abi::CallOp::kMap:
      ++mapping_calls;
      ServeMap();
      return false;
    case abi::CallOp::kRelease:
      ServeRelease();
      return false;
    case abi::CallOp::kGrow:
      call.result = address_space_->GrowRam(call.deadline);
      machine_->SetRoot(address_space_->root());  // the first edit of a run copies frozen tables
      return false;
    case abi::CallOp::kFault:
      return false;
  }
  outcome->event = VmEvent::kCrashed;
  outcome->report = "the guest made an unknown call";
  return true;
}

void Vm::ServeMap() {
  abi::Call& call = memory_->guest_page().call;
  const uint32_t count = call.count;
  if (count > abi::kMaxRanges) {
    call.result = -EINVAL;
    return;
  }
  const std::vector<abi::RangeRequest> requests(call.ranges, call.ranges + count);
  bool switched = false;
  call.result = address_space_->Apply(requests, &switched);
  if (switched) machine_->SetRoot(address_space_->root());
}

void Vm::ServeRelease() {
  abi::Call& call = memory_->guest_page().call;
  const abi::RangeRequest range = call.ranges[0];
  const abi::Window heap{abi::kHeapBase, abi::kRam.base + memory_->ram_size() - abi::kHeapBase};
  if (range.va % abi::kPageSize != 0 || range.length % abi::kPageSize != 0 || range.length == 0 ||
      !heap.Contains(range.va, range.length)) {
    call.result = -EINVAL;
    return;
  }
  const uint64_t begin = range.va - abi::kRam.base;
  // Rollback knows where a snapshot's page was.
  if (!memory_->ReleaseRam(begin, begin + range.length).ok()) {
    call.result = -ENOMEM;
    return;
  }
  const uint64_t pages = memory_->config().ram_size / abi::kPageSize;
  const uint64_t first = std::min(begin / abi::kPageSize, pages);
  const uint64_t end = std::min(first + range.length / abi::kPageSize, pages);
  if (first == end) return;
  released.resize(pages);
  std::fill(released.begin() + first, released.begin() + end, true);
}

bool Vm::InKernel() const {
  const uint64_t rip = machine_->registers().rip;
  return rip >= kernel_.text_begin && rip < kernel_.text_end;
}

Status Vm::StartClone() {
  USETL_RETURN_IF_ERROR(machine_->CompleteExit());
  // Tables that were in use cannot be edited unnoticed: the new ones lie behind them.
  AddressSpaceState state = address_space_->state();
  state.root = 0;
  address_space_ = std::make_unique<AddressSpace>(memory_.get(), machine_.get(), state);
  const uint64_t text_end = (kernel_.text_end + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  USETL_RETURN_IF_ERROR(
      address_space_->MapFixedZones(kernel_.text_begin, text_end, /*data=*/text_end));
  machine_->SetRoot(address_space_->root());
  GeneralRegisters registers{};
  registers.rip = kernel_.clone_entry;
  registers.rsp = kernel_.boot_stack;
  registers.rflags = machine_->registers().rflags;
  machine_->SetRegisters(registers);
  return NewGeneration(&memory_->host_page(), tsc_khz_);
}

void Vm::Preempt() {
  if (InKernel()) return;
  GeneralRegisters registers = machine_->registers();
  memory_->host_page().preempt_rip = registers.rip;
  registers.rip = kernel_.preempt_entry;
  machine_->SetRegisters(registers);
}

}  // namespace usetl
