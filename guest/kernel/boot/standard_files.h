// standard_files.h: what a program finds open, and the thread that starts it.
#ifndef USETL_GUEST_KERNEL_BOOT_STANDARD_FILES_H_
#define USETL_GUEST_KERNEL_BOOT_STANDARD_FILES_H_

#include <cstdint>

namespace usetl::kernel {

// Until the first switch the boot stack plays the part of a thread.
void BecomeBootThread();

// Descriptors 0 to 2. `input`: standard input comes from the host; else it is empty.
void OpenStandardFiles(bool input);
// The same as a terminal of that size.
void OpenTerminal(uint16_t columns, uint16_t rows);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_BOOT_STANDARD_FILES_H_
