// descriptor_tables.h: GDT, IDT and TSS of a USF. Every gate enters at CPL3.
#ifndef USETL_VMM_USF_DESCRIPTOR_TABLES_H_
#define USETL_VMM_USF_DESCRIPTOR_TABLES_H_

#include <cstdint>
#include <span>

namespace usetl {

inline constexpr int kFaultVectors = 32;
inline constexpr int kIstStacks = 7;

// Fills the first pages of abi::kTables, seen by the host at `tables`. `handlers` are the kernel's
// fault entries by vector, `stacks` the tops of its interrupt stacks.
void WriteDescriptorTables(uint8_t* tables, std::span<const uint64_t, kFaultVectors> handlers,
                           std::span<const uint64_t, kIstStacks> stacks);

}  // namespace usetl

#endif  // USETL_VMM_USF_DESCRIPTOR_TABLES_H_
