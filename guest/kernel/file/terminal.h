// terminal.h: the terminal of a clone: one device for its three standard streams.
//
// The line discipline is here, as in Linux's n_tty: canonical lines with echo and erasing, signals
// by key, and the raw mode of programs that edit lines themselves. termios(3) has the modes.
#ifndef USETL_GUEST_KERNEL_FILE_TERMINAL_H_
#define USETL_GUEST_KERNEL_FILE_TERMINAL_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

struct Record;

// Null: out of memory.
File* CreateTerminal(uint16_t columns, uint16_t rows);
// For /dev/tty: a reference, or null when the program has no terminal.
File* ControllingTerminal();
// A record of kInput: keys; or of kResize. Frees it.
void DeliverTerminalInput(Record* record);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_TERMINAL_H_
