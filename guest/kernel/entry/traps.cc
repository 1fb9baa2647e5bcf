// traps.cc: what entry.S calls: faults, preemption, the slow way out of a system call.
#include "guest/kernel/entry/trap_frame.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"
#include "guest/kernel/syscall/trace.h"
#include "guest/kernel/thread/thread.h"

extern "C" {
extern uint8_t kernel_text_begin[], kernel_text_end[];
extern uint8_t user_access_begin[], user_access_end[], user_access_fault[];
extern uint8_t syscall_entry[];
}

namespace usetl::kernel {
namespace {

constexpr uint64_t kInvalidOpcode = 6, kPageFault = 14;
constexpr int kSegvMapError = 1, kSegvAccessError = 2, kBusAddressError = 2;

bool Within(uint64_t address, const uint8_t* begin, const uint8_t* end) {
  return address >= reinterpret_cast<uint64_t>(begin) && address < reinterpret_cast<uint64_t>(end);
}

bool InKernel(uint64_t rip) { return Within(rip, kernel_text_begin, kernel_text_end); }

// Platforms that honour EFER.SCE = 0 raise #UD for `syscall`: go on at the entry as LSTAR would.
bool RedirectSyscall(TrapFrame* frame) {
  uint8_t bytes[2];
  if (!CopyFromUser(bytes, reinterpret_cast<void*>(frame->rip), sizeof bytes)) return false;
  if (bytes[0] != 0x0f || bytes[1] != 0x05) return false;
  frame->rcx = frame->rip + sizeof bytes;
  frame->r11 = frame->rflags;
  frame->rip = reinterpret_cast<uint64_t>(syscall_entry);
  return true;
}

SignalInfo InfoFor(const TrapFrame& frame) {
  switch (frame.vector) {
    case 0:
      return {kSigFpe, 0, 1, frame.rip};  // FPE_INTDIV
    case 1:
      return {kSigTrap, 0, 2, frame.rip};  // TRAP_TRACE
    case 3:
      return {kSigTrap, 0, 0x80, 0};  // SI_KERNEL
    case 6:
      return {kSigIll, 0, 2, frame.rip};  // ILL_ILLOPN
    case 16:
      return {kSigFpe, 0, 6, frame.rip};  // FPE_FLTRES
    case 17:
      return {kSigBus, 0, 1, frame.rip};  // BUS_ADRALN
    case 19:
      return {kSigFpe, 0, 7, frame.rip};  // FPE_FLTINV
    default:
      return {kSigSegv, 0, 0x80, 0};  // general protection and the rest
  }
}

[[noreturn]] void KernelFault(const TrapFrame& frame, uint64_t address) {
  Panic("kernel fault: vector %d error 0x%x rip 0x%x address 0x%x rsp 0x%x tid %d", frame.vector,
        frame.error, frame.rip, address, frame.rsp,
        g_current != nullptr ? int64_t{g_current->tid} : int64_t{0});
}

// Takes the frame of a page fault to its end: pages, an error of a copy routine, or a signal.
void PageFault(TrapFrame* frame) {
  // CR2 cannot be read at CPL3. A fetch faults at RIP; for the rest the host knows.
  constexpr uint64_t kFetch = 16;
  uint64_t address = frame->rip;
  if (!(frame->error & kFetch)) {
    CallHost(abi::CallOp::kFault);
    address = host_page().fault_address;
  }
  const FaultResult result = HandlePageFault(address, frame->error);
  if (host_page().trace & abi::kTraceFaults) {
    Log("fault at 0x%x rip 0x%x error 0x%x -> %d", address, frame->rip, frame->error,
        static_cast<int64_t>(result));
  }
  if (result == FaultResult::kHandled) return;
  if (result == FaultResult::kNoMemory) OutOfMemory("a page that was promised");
  if (Within(frame->rip, user_access_begin, user_access_end)) {
    frame->rip = reinterpret_cast<uint64_t>(user_access_fault);
    return;
  }
  if (InKernel(frame->rip)) KernelFault(*frame, address);
  if (result == FaultResult::kBeyondEnd) {
    ForceSignal({kSigBus, 0, kBusAddressError, address});
  } else {
    const bool mapped = result == FaultResult::kNoPermission;
    ForceSignal({kSigSegv, 0, mapped ? kSegvAccessError : kSegvMapError, address});
  }
  DeliverSignals(frame, /*in_syscall=*/false);
}

}  // namespace

extern "C" void OnFault(TrapFrame* frame) {
  if (frame->vector == kPageFault) return PageFault(frame);
  if (frame->vector == kInvalidOpcode && !InKernel(frame->rip) && RedirectSyscall(frame)) return;
  if (Within(frame->rip, user_access_begin, user_access_end)) {  // a non-canonical address
    frame->rip = reinterpret_cast<uint64_t>(user_access_fault);
    return;
  }
  if (InKernel(frame->rip)) KernelFault(*frame, 0);
  ForceSignal(InfoFor(*frame));
  DeliverSignals(frame, /*in_syscall=*/false);
}

extern "C" void OnPreempt(TrapFrame* frame) {
  PollMailbox();
  Yield();
  DeliverSignals(frame, /*in_syscall=*/false);
}

extern "C" void OnSyscallExit(TrapFrame* frame) {
  if (host_page().trace & abi::kTraceSyscalls) TraceSyscall(*frame);
  DeliverSignals(frame, /*in_syscall=*/true);
}

}  // namespace usetl::kernel
