// output.h: standard output of a command: what cannot be written is no success.
#ifndef USETL_VMM_BASE_OUTPUT_H_
#define USETL_VMM_BASE_OUTPUT_H_

#include <string_view>

#include "vmm/base/status.h"

namespace usetl {

// Of a process that was started without a standard output: takes its descriptor, so that no file
// gets it and with it what was meant for the user. First of all.
void ReserveOutput();

// Writes past stdio, which must hold nothing. An error names standard output.
Status WriteOutput(std::string_view bytes);

// Writes out what stdio holds. The first error that there was, also of an earlier call.
Status FlushOutput();

// The status to end a command with: `status`, or `failed` after a line on stderr when what it
// printed could not be written.
int EndOutput(int status, int failed = 1);

}  // namespace usetl

#endif  // USETL_VMM_BASE_OUTPUT_H_
