// kvm_cpu.cc: the state of a vCPU: at boot, saved, loaded, restored, compared.
#include <cpuid.h>
#include <sys/ioctl.h>

#include <cstdio>
#include <cstring>

#include "vmm/platform/kvm/kvm_machine.h"
#include "vmm/platform/x86.h"

namespace usetl::kvm {
namespace {

Status Ioctl(int fd, unsigned long request, void* argument, const char* name) {
  if (ioctl(fd, request, argument) >= 0) return Status();
  return Status::Errno(name);
}

constexpr uint32_t kSavedMsrs[] = {kMsrStar,        kMsrLstar,        kMsrCstar,
                                   kMsrSyscallMask, kMsrKernelGsBase, kMsrTscAux};

void ListMsrs(Msrs* msrs) {
  *msrs = {};
  for (const uint32_t index : kSavedMsrs) msrs->entries[msrs->count++].index = index;
}

// Vector state that a guest may use: x87, SSE, AVX and, where the host has it, AVX-512. AMX tiles
// are left out: they would make every saved state 8 kB larger.
Status SetVectorState(int vcpu) {
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  for (const uint64_t mask : {0xe7, 0x07, 0x03}) {
    xcrs.xcrs[0].value = mask;
    if (ioctl(vcpu, KVM_SET_XCRS, &xcrs) == 0) return Status();
  }
  return Status::Errno("KVM_SET_XCRS");
}

// The guest's time stamp counter equals the host's, so the host can compute the clock page alone.
Status AlignTsc(int vcpu) {
  uint64_t offset = 0;
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uint64_t>(&offset);
  return Ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attribute, "KVM_VCPU_TSC_OFFSET");
}

Status SetCpuid(int kvm_fd, int vcpu) {
  auto cpuid = std::make_unique<Cpuid>();
  cpuid->count = kMaxCpuidEntries;
  USETL_RETURN_IF_ERROR(Ioctl(kvm_fd, kGetSupportedCpuid, cpuid.get(), "KVM_GET_SUPPORTED_CPUID"));
  return Ioctl(vcpu, kSetCpuid2, cpuid.get(), "KVM_SET_CPUID2");
}

// KVM keeps the number and error code of what it has delivered last: nothing that comes of them.
void ForgetDelivered(kvm_vcpu_events* events) {
  if (events->exception.injected == 0 && events->exception.pending == 0) {
    events->exception = {};
    events->exception_has_payload = 0;
    events->exception_payload = 0;
  }
  if (events->interrupt.injected == 0) events->interrupt.nr = events->interrupt.soft = 0;
}

}  // namespace

Status KvmMachine::SetUpVcpu(int kvm_fd) {
  vcpu_ = Fd(ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
  if (!vcpu_.ok()) return Status::Errno("KVM_CREATE_VCPU");
  const int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size < static_cast<int>(sizeof(kvm_run))) return Status::Errno("KVM_GET_VCPU_MMAP_SIZE");
  void* run = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_.get(), 0);
  if (run == MAP_FAILED) return Status::Errno("mmap of kvm_run");
  run_mapping_ = Mapping(run, size);
  run_ = static_cast<kvm_run*>(run);
  run_->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  USETL_RETURN_IF_ERROR(SetCpuid(kvm_fd, vcpu_.get()));
  USETL_RETURN_IF_ERROR(SetVectorState(vcpu_.get()));
  const int khz = ioctl(vcpu_.get(), KVM_GET_TSC_KHZ, 0);
  if (khz <= 0) return Status::Errno("KVM_GET_TSC_KHZ");
  tsc_khz_ = khz;
  return AlignTsc(vcpu_.get());
}

Status KvmMachine::Boot(const BootState& state) {
  kvm_sregs& sregs = run_->s.regs.sregs;
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_GET_SREGS, &sregs, "KVM_GET_SREGS"));
  sregs.cr0 = x86::kCr0;
  sregs.cr3 = state.root;
  sregs.cr4 = x86::kCr4;
  sregs.efer = x86::kEfer;

  kvm_segment code{};
  code.limit = 0xffffffff;
  code.selector = x86::kUserCode;
  code.type = 11;  // execute, read, accessed
  code.present = code.s = code.l = code.g = 1;
  code.dpl = 3;
  kvm_segment data = code;
  data.selector = x86::kUserData;
  data.type = 3;  // read, write, accessed
  data.l = 0;
  data.db = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.gdt.base = abi::kGdt;
  sregs.gdt.limit = x86::kGdtBytes - 1;
  sregs.idt.base = abi::kIdt;
  sregs.idt.limit = x86::kIdtBytes - 1;
  sregs.tr = {};
  sregs.tr.base = abi::kTss;
  sregs.tr.limit = abi::kTssSize - 1;
  sregs.tr.selector = x86::kTssSelector;
  sregs.tr.type = 11;  // busy 64-bit TSS
  sregs.tr.present = 1;
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_SET_SREGS, &sregs, "KVM_SET_SREGS"));

  Msrs msrs;
  ListMsrs(&msrs);
  for (uint32_t i = 0; i < msrs.count; ++i) {
    if (msrs.entries[i].index == kMsrStar) {
      msrs.entries[i].data = uint64_t{x86::kStarUser} << 48 | uint64_t{x86::kStarKernel} << 32;
    }
    if (msrs.entries[i].index == kMsrLstar) msrs.entries[i].data = state.syscall_entry;
    if (msrs.entries[i].index == kMsrSyscallMask) msrs.entries[i].data = x86::kFlagDirection;
  }
  if (ioctl(vcpu_.get(), kSetMsrs, &msrs) != static_cast<int>(msrs.count)) {
    return Status::Errno("KVM_SET_MSRS");
  }

  kvm_regs& regs = run_->s.regs.regs;
  regs = {};
  regs.rip = state.entry;
  regs.rsp = state.stack;
  regs.rflags = x86::kFlagReserved;
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
  return Status();
}

Status KvmMachine::ReadState(VcpuState* state) {
  std::memset(static_cast<void*>(state), 0, sizeof *state);
  ListMsrs(&state->msrs);
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_GET_REGS, &state->regs, "KVM_GET_REGS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_GET_SREGS, &state->sregs, "KVM_GET_SREGS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), kGetXsave, &state->xsave, "KVM_GET_XSAVE"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_GET_XCRS, &state->xcrs, "KVM_GET_XCRS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_GET_DEBUGREGS, &state->debug, "KVM_GET_DEBUGREGS"));
  USETL_RETURN_IF_ERROR(
      Ioctl(vcpu_.get(), KVM_GET_VCPU_EVENTS, &state->events, "KVM_GET_VCPU_EVENTS"));
  if (ioctl(vcpu_.get(), kGetMsrs, &state->msrs) != static_cast<int>(state->msrs.count)) {
    return Status::Errno("KVM_GET_MSRS");
  }
  return Status();
}

Result<CpuState> KvmMachine::SaveCpu() {
  VcpuState state;
  USETL_RETURN_IF_ERROR(ReadState(&state));
  CpuState bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return bytes;
}

Status KvmMachine::PatchRoot(CpuState* bytes, uint64_t root) {
  if (bytes->size() != sizeof(VcpuState)) return Status(EINVAL, "vCPU state has a foreign size");
  VcpuState state;
  std::memcpy(static_cast<void*>(&state), bytes->data(), sizeof state);
  state.sregs.cr3 = root;
  state.sregs.cr2 = 0;
  std::memcpy(bytes->data(), &state, sizeof state);
  return Status();
}

Status KvmMachine::LoadCpu(const CpuState& bytes) {
  if (bytes.size() != sizeof(VcpuState)) return Status(EINVAL, "vCPU state has a foreign size");
  VcpuState state;
  std::memcpy(static_cast<void*>(&state), bytes.data(), sizeof state);
  if (state.msrs.count > kMaxMsrs) return Status(EINVAL, "vCPU state is damaged");
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_SET_SREGS, &state.sregs, "KVM_SET_SREGS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_SET_REGS, &state.regs, "KVM_SET_REGS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_SET_XCRS, &state.xcrs, "KVM_SET_XCRS"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), kSetXsave, &state.xsave, "KVM_SET_XSAVE"));
  USETL_RETURN_IF_ERROR(Ioctl(vcpu_.get(), KVM_SET_DEBUGREGS, &state.debug, "KVM_SET_DEBUGREGS"));
  USETL_RETURN_IF_ERROR(
      Ioctl(vcpu_.get(), KVM_SET_VCPU_EVENTS, &state.events, "KVM_SET_VCPU_EVENTS"));
  if (ioctl(vcpu_.get(), kSetMsrs, &state.msrs) != static_cast<int>(state.msrs.count)) {
    return Status::Errno("KVM_SET_MSRS");
  }
  run_->s.regs.regs = state.regs;
  run_->s.regs.sregs = state.sregs;
  return Status();
}

Status KvmMachine::RestoreCpu(const CpuState& bytes) {
  const VcpuState& state = *reinterpret_cast<const VcpuState*>(bytes.data());
  run_->s.regs.regs = state.regs;
  run_->s.regs.sregs = state.sregs;
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  return Ioctl(vcpu_.get(), kSetXsave, const_cast<Xsave*>(&state.xsave), "KVM_SET_XSAVE");
}

Result<std::string> KvmMachine::CompareCpu(const CpuState& bytes) {
  // Registers set through kvm_run count from the next entry on: enter without running the guest.
  USETL_RETURN_IF_ERROR(CompleteExit());
  VcpuState now;
  USETL_RETURN_IF_ERROR(ReadState(&now));
  VcpuState then;
  std::memcpy(static_cast<void*>(&then), bytes.data(), sizeof then);
  ForgetDelivered(&now.events);
  ForgetDelivered(&then.events);
  const auto differs = [](const auto& a, const auto& b) { return std::memcmp(&a, &b, sizeof a); };
  std::string what;
  if (differs(now.regs, then.regs)) what += " general registers";
  if (differs(now.sregs, then.sregs)) what += " segment and control registers";
  if (differs(now.xsave, then.xsave)) what += " vector registers";
  if (differs(now.xcrs, then.xcrs)) what += " XCR0";
  if (differs(now.debug, then.debug)) what += " debug registers";
  if (differs(now.events, then.events)) what += " pending events";
  if (differs(now.msrs, then.msrs)) what += " MSRs";
  return what;
}

}  // namespace usetl::kvm

namespace usetl {

Result<std::string> CpuFingerprint() {
  // Vendor, model and feature leaves; leaf 1 EBX holds the APIC id and is left out.
  std::string text;
  for (const auto& [leaf, sub] :
       {std::pair{0u, 0u}, {1u, 0u}, {7u, 0u}, {7u, 1u}, {13u, 0u}, {13u, 1u}, {0x80000001u, 0u}}) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(leaf, sub, &a, &b, &c, &d)) continue;
    if (leaf == 1) b = 0;
    if (leaf == 13 && sub == 0) b = 0;
    if (leaf == 13 && sub == 1) b = 0;
    char line[64];
    std::snprintf(line, sizeof line, "%x.%x:%08x%08x%08x%08x;", leaf, sub, a, b, c, d);
    text += line;
  }
  if (text.empty()) return Status(ENODEV, "CPUID gives nothing");
  return text;
}

}  // namespace usetl
