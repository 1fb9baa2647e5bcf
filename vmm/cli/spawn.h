// spawn.h: programs that lie beside this one, run as daemons.
#ifndef USETL_VMM_CLI_SPAWN_H_
#define USETL_VMM_CLI_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// A daemon that ends when this process does, however that ends (vmm/base/starter.h).
class Daemon {
 public:
  Daemon() = default;
  // Starts the program in a process group of its own: a Ctrl-C of the terminal does not reach it.
  static Result<Daemon> Spawn(const std::string& name, std::vector<std::string> arguments);
  // SIGTERM, then waits for its end.
  ~Daemon();
  Daemon(Daemon&& other) noexcept;
  Daemon& operator=(Daemon&& other) noexcept;

  // Waits until it serves; its own error when it does not.
  Status WaitUntilReady();
  // True, once: it has ended by itself.
  bool Ended();
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  pid_t pid_ = -1;
  Fd report_;
};

}  // namespace usetl

#endif  // USETL_VMM_CLI_SPAWN_H_
