// kvm_abi.h: KVM structures and ioctl numbers that <linux/kvm.h> gets wrong for C++.
//
// The UAPI headers of Debian 12 wrap trailing arrays in a struct with an empty member, which has
// size 1 in C++: sizes, offsets and the ioctl numbers derived from them come out wrong (EINVAL).
// Only what is used stands here; everything else comes from the header.
#ifndef USETL_VMM_PLATFORM_KVM_KVM_ABI_H_
#define USETL_VMM_PLATFORM_KVM_KVM_ABI_H_

#include <linux/kvm.h>

#include <cstdint>

namespace usetl::kvm {

inline constexpr uint32_t kMaxCpuidEntries = 256;
struct Cpuid {
  uint32_t count;
  uint32_t padding;
  kvm_cpuid_entry2 entries[kMaxCpuidEntries];
};
static_assert(sizeof(kvm_cpuid_entry2) == 40 && sizeof(Cpuid) == 8 + 40 * kMaxCpuidEntries);

inline constexpr uint32_t kMaxMsrs = 16;
struct Msrs {
  uint32_t count;
  uint32_t padding;
  kvm_msr_entry entries[kMaxMsrs];
};
static_assert(sizeof(kvm_msr_entry) == 16 && sizeof(Msrs) == 8 + 16 * kMaxMsrs);

struct Xsave {
  uint32_t region[1024];
};
static_assert(sizeof(Xsave) == 4096);

struct SignalMask {
  uint32_t length;
  uint8_t set[8];
};
static_assert(sizeof(SignalMask) == 12);

inline constexpr unsigned long kGetSupportedCpuid = 0xc008ae05;
inline constexpr unsigned long kSetCpuid2 = 0x4008ae90;
inline constexpr unsigned long kGetMsrs = 0xc008ae88;
inline constexpr unsigned long kSetMsrs = 0x4008ae89;
inline constexpr unsigned long kGetXsave = 0x9000aea4;
inline constexpr unsigned long kSetXsave = 0x5000aea5;
inline constexpr unsigned long kSetSignalMask = 0x4004ae8b;

// The header is right about these; asserted so that a change shows here and not as EINVAL.
static_assert(KVM_RUN == 0xae80 && KVM_SET_USER_MEMORY_REGION == 0x4020ae46);
static_assert(KVM_GET_DIRTY_LOG == 0x4010ae42 && KVM_CLEAR_DIRTY_LOG == 0xc018aec0);
static_assert(KVM_IOEVENTFD == 0x4040ae79 && KVM_SET_SREGS == 0x4138ae84);

// Model-specific registers, Intel SDM volume 4, table 2-2.
inline constexpr uint32_t kMsrStar = 0xc0000081;
inline constexpr uint32_t kMsrLstar = 0xc0000082;
inline constexpr uint32_t kMsrCstar = 0xc0000083;
inline constexpr uint32_t kMsrSyscallMask = 0xc0000084;
inline constexpr uint32_t kMsrKernelGsBase = 0xc0000102;
inline constexpr uint32_t kMsrTscAux = 0xc0000103;

}  // namespace usetl::kvm

#endif  // USETL_VMM_PLATFORM_KVM_KVM_ABI_H_
