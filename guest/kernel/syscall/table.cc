// table.cc: the dispatch table, made from syscalls.tbl; what is missing is counted.
#include <asm/errno.h>

#include "guest/kernel/entry/trap_frame.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/syscall/trace.h"
#include "guest/kernel/thread/thread.h"

extern "C" {
#define USETL_SYSCALL(number, name) int64_t sys_##name();
#include "syscall_table.inc"
#undef USETL_SYSCALL
}

namespace usetl::kernel {
namespace {

using Handler = int64_t (*)();

const char* NameOf(uint64_t number) {
  switch (number) {
#define USETL_SYSCALL(number, name) \
  case number:                      \
    return #name;
#include "syscall_table.inc"
#undef USETL_SYSCALL
    default:
      return "unknown";
  }
}

int64_t CountMissing(uint64_t number) {
  abi::GuestPage& page = guest_page();
  ++page.unimplemented;
  page.last_unimplemented = number;
  constexpr uint8_t kMost = 255;
  if (number < abi::kSyscallCount && page.unimplemented_by_number[number] != kMost) {
    ++page.unimplemented_by_number[number];
  }
  return -ENOSYS;
}

struct Table {
  Handler handlers[abi::kSyscallCount];
};

int64_t Missing() { return CountMissing(g_current->frame()->vector); }

constexpr Table MakeTable() {
  Table table{};
  for (Handler& handler : table.handlers) handler = Missing;
#define USETL_SYSCALL(number, name) table.handlers[number] = sys_##name;
#include "syscall_table.inc"
#undef USETL_SYSCALL
  return table;
}

}  // namespace

// Read by entry.S.
extern "C" {
extern const Table syscall_handlers;
constinit const Table syscall_handlers = MakeTable();

int64_t SyscallOutOfRange() { return CountMissing(abi::kSyscallCount); }
}

void TraceSyscall(const TrapFrame& f) {
  Log("[%d] %s(0x%x, 0x%x, 0x%x, 0x%x) = %d", int64_t{g_current->tid}, NameOf(f.vector), f.rdi,
      f.rsi, f.rdx, f.r10, static_cast<int64_t>(f.rax));
}

}  // namespace usetl::kernel
