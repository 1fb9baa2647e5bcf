// main.cc: usetl-proxy, the daemon that runs functions for clients and carries out their requests.
#include <limits.h>
#include <unistd.h>

#include <cstdlib>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/starter.h"
#include "vmm/proxy/daemon/daemon.h"

namespace usetl {
namespace {

// Starts the program over with all symbols of its libraries bound. What is bound later, every
// worker binds for itself, on pages of its own that stay as long as its container. Refused: so be
// it.
void BindSymbols(char** argv) {
  constexpr const char* kVariable = "LD_BIND_NOW";
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (getenv(kVariable) != nullptr || size < 0 || setenv(kVariable, "1", 1) != 0) return;
  path[size] = 0;  // not /proc/self/exe itself: the process would be called "exe"
  execv(path, argv);
}

int Main(int argc, char** argv) {
  ProxyOptions options;
  options.socket = ProxySocket(kDefaultNode);
  options.vmmd_socket = VmmdSocket(kDefaultNode);
  int ready_fd = -1;
  bool remove_directory = false;
  CLI::App app{
      "Runs functions for clients: a worker process each, which claims a USF from usetl-vmmd, "
      "loads\n"
      "the function's file, carries out its HTTP requests and passes on its output and result.\n"
      "Nothing may be reached that the client does not allow; each worker is a user of its\n"
      "own, of group 65534.\n"
      "`usetl up` starts it together with usetl-vmmd; by itself, under an init system:\n"
      "  usetl-proxy --socket /run/usetl/proxy.sock --vmmd /run/usetl/vmmd.sock\n"
      "SIGTERM ends it and its workers, with the functions that run."};
  app.add_option("--socket", options.socket, "where clients connect")->capture_default_str();
  app.add_option("--pods", options.pods_socket,
                 "where usetld connects to start containers; none unless given");
  app.add_option("--vmmd", options.vmmd_socket, "where usetl-vmmd listens")->capture_default_str();
  AddList(&app, "--objects", &options.objects,
          "NAME=DIRECTORY[:rw]: files that functions reach as file:///NAME/...; :rw wants a\n"
          "directory that group 65534 may write");
  app.add_option(
      "--ready-fd", ready_fd,
      "descriptor of a pipe that gets the line \"ready\", or the error; the daemon then\n"
      "ends with the process that started it");
  app.add_flag("--remove-directory", remove_directory,
               "remove the directory of the socket at the end, when nothing is left in it");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  if (!options.pods_socket.empty()) BindSymbols(argv);
  Starter starter(ready_fd);
  Status status = starter.Follow();
  options.ready = [&] { return starter.Ready(); };
  if (status.ok()) status = RunProxy(options);
  const int result = status.ok() ? 0 : starter.Fail("usetl-proxy", status);
  if (remove_directory && !starter.told()) {  // as usetl-vmmd does
    rmdir(options.socket.substr(0, options.socket.rfind('/')).c_str());
  }
  return result;
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) { return usetl::Main(argc, argv); }
