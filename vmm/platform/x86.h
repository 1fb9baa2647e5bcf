// x86.h: bits and selectors of the processor state that every platform and table builder uses.
#ifndef USETL_VMM_PLATFORM_X86_H_
#define USETL_VMM_PLATFORM_X86_H_

#include <cstdint>

namespace usetl::x86 {

// Intel SDM volume 3, 2.5. WP keeps supervisor writes off read-only pages; there is no code at
// CPL0, but table walks of the processor count as supervisor accesses.
inline constexpr uint64_t kCr0 = 1ull << 0 |   // PE
                                 1ull << 1 |   // MP
                                 1ull << 4 |   // ET
                                 1ull << 5 |   // NE
                                 1ull << 16 |  // WP
                                 1ull << 18 |  // AM
                                 1ull << 31;   // PG
inline constexpr uint64_t kCr4 = 1ull << 5 |   // PAE
                                 1ull << 9 |   // OSFXSR
                                 1ull << 10 |  // OSXMMEXCPT
                                 1ull << 16 |  // FSGSBASE
                                 1ull << 18;   // OSXSAVE
inline constexpr uint64_t kCr4Smep = 1ull << 20;
inline constexpr uint64_t kCr4Smap = 1ull << 21;
static_assert((kCr4 & (kCr4Smep | kCr4Smap)) == 0, "kernel and application share CPL3 pages");

// SCE stays 0: `syscall` raises #UD on VMX and SVM; PVM hosts enter LSTAR at CPL3 regardless.
inline constexpr uint64_t kEfer = 1ull << 8 |   // LME
                                  1ull << 10 |  // LMA
                                  1ull << 11;   // NXE

inline constexpr uint64_t kFlagReserved = 1ull << 1;
inline constexpr uint64_t kFlagDirection = 1ull << 10;

// Selectors in the layout that Linux uses.
inline constexpr uint16_t kKernelCode = 0x10;
inline constexpr uint16_t kUserData = 0x2b;
inline constexpr uint16_t kUserCode = 0x33;
inline constexpr uint16_t kTssSelector = 0x40;
inline constexpr uint16_t kStarKernel = 0x10;
inline constexpr uint16_t kStarUser = 0x23;
inline constexpr uint32_t kGdtBytes = 10 * 8;
inline constexpr uint32_t kIdtBytes = 32 * 16;

// Page-table entry bits, SDM volume 3, 4.5.4.
inline constexpr uint64_t kPresent = 1ull << 0;
inline constexpr uint64_t kWritable = 1ull << 1;
inline constexpr uint64_t kUser = 1ull << 2;
inline constexpr uint64_t kAccessed = 1ull << 5;
inline constexpr uint64_t kDirty = 1ull << 6;
inline constexpr uint64_t kHuge = 1ull << 7;
inline constexpr uint64_t kNoExecute = 1ull << 63;
inline constexpr uint64_t kAddressMask = 0x000f'ffff'ffff'f000;

}  // namespace usetl::x86

#endif  // USETL_VMM_PLATFORM_X86_H_
