// library_data.h: the data of the libraries that workers begin with.
#ifndef USETL_VMM_PROXY_DAEMON_LIBRARY_DATA_H_
#define USETL_VMM_PROXY_DAEMON_LIBRARY_DATA_H_

#include "vmm/base/status.h"

namespace usetl {

// Puts the writable segments of this process's libraries, as they are now, into a sealed file that
// is mapped privately in their place. fork() copies the page tables of memory that a process has
// written itself, as the dynamic linker has written these, and not those of a file: a worker then
// has no tables for libraries that it does not use, libcurl's dozens. Once, when all is set up that
// workers inherit; single-threaded. After an error the process must end.
Status ShareLibraryData();

}  // namespace usetl

#endif  // USETL_VMM_PROXY_DAEMON_LIBRARY_DATA_H_
