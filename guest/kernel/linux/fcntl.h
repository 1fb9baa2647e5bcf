// fcntl.h: flags of open(2) and the *at calls, Linux x86-64.
#ifndef USETL_GUEST_KERNEL_LINUX_FCNTL_H_
#define USETL_GUEST_KERNEL_LINUX_FCNTL_H_

namespace usetl::kernel {

inline constexpr int kOpenCreate = 0100, kOpenExclusive = 0200, kOpenTruncate = 01000;
inline constexpr int kOpenAppend = 02000, kOpenDirectory = 0200000, kOpenNoFollow = 0400000;
inline constexpr int kOpenPath = 010000000, kOpenTemporary = 020000000;
inline constexpr int kAtCurrent = -100, kAtNoFollow = 0x100, kAtRemoveDirectory = 0x200;
inline constexpr int kAtFollow = 0x400, kAtEmptyPath = 0x1000;
inline constexpr int kRenameNoReplace = 1, kRenameExchange = 2;
inline constexpr int kSeekSet = 0, kSeekCurrent = 1, kSeekEnd = 2, kSeekData = 3, kSeekHole = 4;

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_LINUX_FCNTL_H_
