// termios.h: the Linux ABI of terminals: facts of <asm-generic/termbits.h> and <asm/ioctls.h>.
#ifndef USETL_GUEST_KERNEL_LINUX_TERMIOS_H_
#define USETL_GUEST_KERNEL_LINUX_TERMIOS_H_

#include <cstdint>

namespace usetl::kernel::termios {

struct Modes {  // struct termios of the kernel
  uint32_t input, output, control, local;
  uint8_t line;
  uint8_t keys[19];
};
static_assert(sizeof(Modes) == 36);

struct WindowSize {
  uint16_t rows, columns, width, height;
};
static_assert(sizeof(WindowSize) == 8);

inline constexpr uint64_t kGetModes = 0x5401, kSetModes = 0x5402, kSetModesDrain = 0x5403;
inline constexpr uint64_t kSetModesFlush = 0x5404, kFlush = 0x540b, kSetControlling = 0x540e;
inline constexpr uint64_t kGetGroup = 0x540f, kSetGroup = 0x5410, kGetWindowSize = 0x5413;
inline constexpr uint64_t kSetWindowSize = 0x5414, kReadableBytes = 0x541b, kGetSession = 0x5429;

// Modes::input
inline constexpr uint32_t kNewlineToReturn = 0x40, kIgnoreReturn = 0x80, kReturnToNewline = 0x100;
// Modes::output
inline constexpr uint32_t kProcessOutput = 1, kNewlineToReturnNewline = 4;
// Modes::local
inline constexpr uint32_t kSignals = 1, kCanonical = 2, kEcho = 8, kEchoErase = 0x10;
inline constexpr uint32_t kEchoKill = 0x20, kEchoNewline = 0x40, kNoFlush = 0x80;
inline constexpr uint32_t kEchoControl = 0x200, kEchoKillErase = 0x800, kExtended = 0x8000;
// Modes::keys
inline constexpr int kInterruptKey = 0, kQuitKey = 1, kEraseKey = 2, kKillKey = 3, kEndKey = 4;
inline constexpr int kMinimumKey = 6, kSuspendKey = 10, kWordEraseKey = 14;

// What a new terminal has: 38400 baud, 8 bits, ^C ^\ DEL ^U ^D ... .
inline constexpr Modes kInitial{
    0x500, 5, 0xbf,
    kSignals | kCanonical | kEcho | kEchoErase | kEchoKill | kEchoControl | kEchoKillErase |
        kExtended,
    0,
    {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0}};

}  // namespace usetl::kernel::termios

#endif  // USETL_GUEST_KERNEL_LINUX_TERMIOS_H_
