#include "vmm/platform/kvm/kvm_machine.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>

#include "vmm/abi/layout.h"

namespace usetl::kvm {
namespace {

Status Ioctl(int fd, unsigned long request, void* argument, const char* name) {
  if (ioctl(fd, request, argument) >= 0) return Status();
  return Status::Errno(name);
}

}  // namespace

Result<std::unique_ptr<Machine>> KvmMachine::Create(int kvm_fd) {
  auto machine = std::make_unique<KvmMachine>();
  machine->vm_ = Fd(ioctl(kvm_fd, KVM_CREATE_VM, 0));
  if (!machine->vm_.ok()) return Status::Errno("KVM_CREATE_VM");

  // Reading the dirty log and re-protecting pages are separate steps: hot pages stay writable.
  kvm_enable_cap manual_log{};
  manual_log.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
  manual_log.args[0] = 1;
  USETL_RETURN_IF_ERROR(
      Ioctl(machine->vm_.get(), KVM_ENABLE_CAP, &manual_log, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"));
  USETL_RETURN_IF_ERROR(machine->SetUpVcpu(kvm_fd));
  return std::unique_ptr<Machine>(std::move(machine));
}

Status KvmMachine::AddSlot(const Slot& slot) {
  kvm_userspace_memory_region region{};
  region.slot = slot.number;
  region.flags =
      (slot.read_only ? KVM_MEM_READONLY : 0) | (slot.log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  region.guest_phys_addr = slot.guest.base;
  region.memory_size = slot.guest.size;
  region.userspace_addr = reinterpret_cast<uint64_t>(slot.host);
  return Ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

Status KvmMachine::RenewSlot(const Slot& slot) {
  kvm_userspace_memory_region nothing{};  // of no size: the slot goes, and all shadows with it
  nothing.slot = slot.number;
  USETL_RETURN_IF_ERROR(
      Ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &nothing, "KVM_SET_USER_MEMORY_REGION"));
  return AddSlot(slot);
}

Result<Exit> KvmMachine::Run() {
  if (ioctl(vcpu_.get(), KVM_RUN, 0) < 0) {
    const int error = errno;
    run_->immediate_exit = 0;
    if (error == EINTR || error == EAGAIN) return Exit{ExitReason::kInterrupted, 0};
    if (error == EFAULT) return Exit{ExitReason::kBadAccess, run_->s.regs.sregs.cr2};
    return Status(error, std::string("KVM_RUN: ") + std::strerror(error));
  }
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      if (run_->io.direction == KVM_EXIT_IO_OUT && run_->io.port == abi::kCallPort) {
        return Exit{ExitReason::kCall, 0};
      }
      return Exit{ExitReason::kUnexpected, KVM_EXIT_IO};
    case KVM_EXIT_SHUTDOWN:
      return Exit{ExitReason::kShutdown, 0};
    case KVM_EXIT_MMIO:
      return Exit{ExitReason::kBadAccess, run_->mmio.phys_addr};
    case KVM_EXIT_INTR:
      return Exit{ExitReason::kInterrupted, 0};
    default:
      return Exit{ExitReason::kUnexpected, run_->exit_reason};
  }
}

Status KvmMachine::CompleteExit() {
  run_->immediate_exit = 1;
  const int result = ioctl(vcpu_.get(), KVM_RUN, 0);
  const int error = errno;
  run_->immediate_exit = 0;
  if (result < 0 && error == EINTR) return Status();
  return Status(EIO, "the guest ran while an exit was being completed");
}

void KvmMachine::Kick() { __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_RELAXED); }

GeneralRegisters KvmMachine::registers() const {
  const kvm_regs& r = run_->s.regs.regs;
  return {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8,
          r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip, r.rflags};
}

void KvmMachine::SetRegisters(const GeneralRegisters& g) {
  kvm_regs& r = run_->s.regs.regs;
  r.rax = g.rax, r.rcx = g.rcx, r.rdx = g.rdx, r.rbx = g.rbx;
  r.rsp = g.rsp, r.rbp = g.rbp, r.rsi = g.rsi, r.rdi = g.rdi;
  r.r8 = g.r8, r.r9 = g.r9, r.r10 = g.r10, r.r11 = g.r11;
  r.r12 = g.r12, r.r13 = g.r13, r.r14 = g.r14, r.r15 = g.r15;
  r.rip = g.rip, r.rflags = g.rflags;
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void KvmMachine::SetRoot(uint64_t root) {
  run_->s.regs.sregs.cr3 = root;
  run_->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

Status KvmMachine::ReadDirtyLog(uint32_t slot, std::span<uint64_t> bitmap) {
  kvm_dirty_log log{};
  log.slot = slot;
  log.dirty_bitmap = bitmap.data();
  return Ioctl(vm_.get(), KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
}

Status KvmMachine::ClearDirtyLog(uint32_t slot, uint64_t first, uint32_t pages,
                                 std::span<const uint64_t> bitmap) {
  kvm_clear_dirty_log log{};
  log.slot = slot;
  log.first_page = first;
  log.num_pages = pages;
  log.dirty_bitmap = const_cast<uint64_t*>(bitmap.data());
  return Ioctl(vm_.get(), KVM_CLEAR_DIRTY_LOG, &log, "KVM_CLEAR_DIRTY_LOG");
}

Status KvmMachine::BindDoorbell(uint16_t port, int event_fd) {
  kvm_ioeventfd bell{};
  bell.addr = port;
  bell.len = 1;  // `out %al, %dx`; any-length bells are not available everywhere
  bell.fd = event_fd;
  bell.flags = KVM_IOEVENTFD_FLAG_PIO;
  return Ioctl(vm_.get(), KVM_IOEVENTFD, &bell, "KVM_IOEVENTFD");
}

}  // namespace usetl::kvm

namespace usetl {

Result<std::unique_ptr<Machine>> CreateKvmMachine(int kvm_fd) {
  return kvm::KvmMachine::Create(kvm_fd);
}

}  // namespace usetl
