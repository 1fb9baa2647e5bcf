// main.cc: usetl-usf, one jailed micro-VM. Started by usetl-vmmd with its socket as descriptor 3.
#include <unistd.h>

#include <cstdio>

#include "vmm/usf/usf_process.h"

int main() {
  constexpr int kSocket = 3;
  if (isatty(0)) {
    std::fprintf(stderr, "usetl-usf is started by usetl-vmmd; see usetl --help\n");
    return 2;
  }
  return usetl::UsfProcess(kSocket).Run();
}
