#include "vmm/base/thread.h"

#include <system_error>

namespace usetl {

Result<std::thread> StartThread(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    return Status(error.code().value(), std::string("starting a thread: ") + error.what());
  }
}

}  // namespace usetl
