// control.h: the kernel's view of the control window, and calls to the host.
#ifndef USETL_GUEST_KERNEL_HOST_CONTROL_H_
#define USETL_GUEST_KERNEL_HOST_CONTROL_H_

#include <cstdint>

#include "vmm/abi/control.h"

namespace usetl::kernel {

inline volatile abi::HostPage& host_page() {
  return *reinterpret_cast<volatile abi::HostPage*>(abi::kControl.base + abi::kHostPageOffset);
}
inline abi::GuestPage& guest_page() {
  return *reinterpret_cast<abi::GuestPage*>(abi::kControl.base + abi::kGuestPageOffset);
}

// One exit to usf; the arguments stand in guest_page().call. Returns its result.
int32_t CallHost(abi::CallOp op);

// Collects range requests and sends them in as few exits as possible.
class RangeBatch {
 public:
  RangeBatch() = default;
  RangeBatch(const RangeBatch&) = delete;
  RangeBatch& operator=(const RangeBatch&) = delete;

  void Add(abi::RangeOp op, uint64_t va, uint64_t length, uint32_t protection, uint64_t gpa = 0);
  // Sends what is left. 0, or the first error; ranges before it are done.
  int32_t Finish();

 private:
  uint32_t count_ = 0;
  int32_t error_ = 0;
};

// One line for the VMM's log. `format` knows %s %d %u %x (64-bit) and %%.
void Log(const char* format, ...);
// Formats like Log into `buffer`; always terminated. Returns the length.
uint32_t Format(char* buffer, uint32_t size, const char* format, ...);
uint32_t FormatV(char* buffer, uint32_t size, const char* format, __builtin_va_list arguments);

// Ends the VM: a rule of the kernel itself is broken.
[[noreturn]] void Panic(const char* format, ...);
// Ends the function: it needs memory that its limit does not leave. `what`: for what.
[[noreturn]] void OutOfMemory(const char* what);
// Ends the function with a status as wait(2) has it; `report` may be null.
[[noreturn]] void ExitVm(int status, const char* report);

// Rings the worker, if it sleeps.
void KickWorker();

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_CONTROL_H_
