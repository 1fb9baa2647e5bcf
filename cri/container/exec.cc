#include "cri/container/exec.h"

namespace usetl::cri {

Result<std::unique_ptr<Process>> LaunchProcess(Node&, const std::string&, const ProcessRequest&) {
  return Status(ENOSYS, "exec is not there yet");
}

}  // namespace usetl::cri
