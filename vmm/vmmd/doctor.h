// doctor.h: usetl doctor: what this machine has and lacks, and what to do about it.
#ifndef USETL_VMM_VMMD_DOCTOR_H_
#define USETL_VMM_VMMD_DOCTOR_H_

#include <string>

namespace usetl {

// Prints a line per check; the process's exit status. A part of the daemon, because what it tries
// is what the daemon does at its start.
int Doctor(const std::string& runtimes);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_DOCTOR_H_
