#include "vmm/usf/descriptor_tables.h"

#include <cstring>

#include "vmm/abi/layout.h"
#include "vmm/platform/x86.h"

namespace usetl {
namespace {

// The interrupt stack of a vector (1..7). A fault during another one's first instructions must not
// overwrite its frame, so the common ones have a stack each.
int StackOf(int vector) {
  switch (vector) {
    case 14:
      return 1;  // page fault
    case 6:
      return 2;  // invalid opcode
    case 13:
      return 3;  // general protection
    case 1:
      return 4;  // debug
    case 3:
      return 5;  // breakpoint
    case 8:
      return 6;  // double fault
    default:
      return 7;
  }
}

void Put(uint8_t* at, uint64_t value) { std::memcpy(at, &value, sizeof value); }

// SDM volume 3, 6.14.1: 64-bit interrupt gate, present, DPL 3.
void WriteGate(uint8_t* gate, uint64_t handler, int stack) {
  constexpr uint64_t kInterruptGateDpl3 = 0xee;
  const uint64_t low = (handler & 0xffff) | uint64_t{x86::kUserCode} << 16 |
                       static_cast<uint64_t>(stack) << 32 | kInterruptGateDpl3 << 40 |
                       (handler >> 16 & 0xffff) << 48;
  Put(gate, low);
  Put(gate + 8, handler >> 32);
}

}  // namespace

void WriteDescriptorTables(uint8_t* tables, std::span<const uint64_t, kFaultVectors> handlers,
                           std::span<const uint64_t, kIstStacks> stacks) {
  uint8_t* gdt = tables + (abi::kGdt - abi::kTables.base);
  // SDM volume 3, 3.4.5; the accessed bit is preset so that the processor never writes here. The
  // CPL0 descriptors exist because STAR must name them; nothing ever loads them.
  Put(gdt + 0x10, 0x00af9b000000ffff);  // code, DPL 0
  Put(gdt + 0x18, 0x00cf93000000ffff);  // data, DPL 0
  Put(gdt + 0x20, 0x00cffb000000ffff);  // 32-bit code, DPL 3
  Put(gdt + 0x28, 0x00cff3000000ffff);  // data, DPL 3
  Put(gdt + 0x30, 0x00affb000000ffff);  // 64-bit code, DPL 3
  const uint64_t limit = abi::kTssSize - 1;
  Put(gdt + x86::kTssSelector, (limit & 0xffff) | (abi::kTss & 0xffffff) << 16 | 0x8bull << 40 |
                                   (limit >> 16) << 48 | (abi::kTss >> 24 & 0xff) << 56);
  Put(gdt + x86::kTssSelector + 8, abi::kTss >> 32);

  uint8_t* idt = tables + (abi::kIdt - abi::kTables.base);
  for (int v = 0; v < kFaultVectors; ++v) WriteGate(idt + 16 * v, handlers[v], StackOf(v));

  uint8_t* tss = tables + (abi::kTss - abi::kTables.base);
  constexpr uint64_t kStateBytes = 104;
  for (int i = 0; i < kIstStacks; ++i) Put(tss + 36 + 8 * i, stacks[i]);
  const uint16_t bitmap = kStateBytes;
  std::memcpy(tss + 102, &bitmap, sizeof bitmap);
  std::memset(tss + kStateBytes, 0xff, abi::kTssSize - kStateBytes);  // every port faults ...
  for (const uint16_t port : {abi::kCallPort, abi::kKickPort}) {      // ... but the doorbells
    tss[kStateBytes + port / 8] &= static_cast<uint8_t>(~(1u << port % 8));
  }
}

}  // namespace usetl
