// doctor.h: usetl doctor: what this machine has and lacks, and what to do about it.
#ifndef USETL_VMM_VMMD_DOCTOR_H_
#define USETL_VMM_VMMD_DOCTOR_H_

namespace usetl {

// Prints a line per check; the process's exit status. A part of the daemon, because what it tries
// is what the daemon does at its start; its arguments are its own.
int DoctorMain(int argc, char** argv);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_DOCTOR_H_
