// main.cc: usetl-usf, one jailed micro-VM. Started by usetl-vmmd with its socket as descriptor 3.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "vmm/base/version.h"
#include "vmm/usf/usf_process.h"

int main(int argc, char** argv) {
  constexpr int kSocket = 3;
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("usetl-usf %s\n", usetl::Version());
    return 0;
  }
  if (argc > 1 || isatty(0)) {
    const bool asked = argc == 2 && std::strcmp(argv[1], "--help") == 0;
    std::fputs(
        "usetl-usf runs one jailed micro-VM and takes no options: usetl-vmmd starts it, with its\n"
        "socket as descriptor 3. To run a function: usetl run --help\n",
        asked ? stdout : stderr);
    return asked ? 0 : 2;
  }
  return usetl::UsfProcess(kSocket).Run();
}
