// main.cc: usetl-vmmd, the daemon that keeps the pool of USFs.
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/output.h"
#include "vmm/base/starter.h"
#include "vmm/vmmd/daemon.h"
#include "vmm/vmmd/doctor.h"

namespace usetl {
namespace {

// Each USF takes seven descriptors; shells allow 1,024 unless told otherwise.
void AllowManyFiles() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  // Refused: the pool ends earlier, with an error that says so.
  (void)!setrlimit(RLIMIT_NOFILE, &files);
}

Status Serve(VmmdOptions options, Starter* starter) {
  AllowManyFiles();
  USETL_RETURN_IF_ERROR(starter->Follow());
  Result<std::unique_ptr<Vmmd>> daemon = Vmmd::Create(std::move(options));
  if (!daemon.ok()) return daemon.status();
  USETL_RETURN_IF_ERROR(starter->Ready());
  return (*daemon)->Run();
}

int Main(int argc, char** argv) {
  VmmdOptions options;
  options.socket = VmmdSocket(kDefaultNode);
  options.runtimes = DefaultRuntimes();
  options.runtime = kDefaultRuntime;
  options.image_runtimes = ImageStoreOf(kDefaultNode) + "/runtimes";
  options.kernel = KernelPath();
  options.usf.program = UsfPath();
  uint64_t region = 64 << 20;
  int ready_fd = -1;
  bool remove_directory = false;
  CLI::App app{
      "Keeps USFs of one baked runtime ready: starts them, hands each to a worker of usetl-proxy,\n"
      "rolls it back afterwards, replaces what is worn out or lost. Needs root and /dev/kvm.\n"
      "`usetl up` starts it together with usetl-proxy; by itself, under an init system:\n"
      "  usetl-vmmd --socket /run/usetl/vmmd.sock --runtimes /var/lib/usetl/runtimes --pool 8\n"
      "SIGTERM ends it and all of its USFs. `usetl ps` and `usetl inspect` show what it has;\n"
      "`usetl doctor` becomes `usetl-vmmd --doctor`."};
  app.add_option("--socket", options.socket, "where workers and the command line connect")
      ->capture_default_str();
  app.add_option("--runtimes", options.runtimes, "directory of baked runtimes")
      ->capture_default_str();
  app.add_option("--runtime", options.runtime, "the one whose pool is kept")->capture_default_str();
  app.add_option("--image-runtimes", options.image_runtimes,
                 "directory of runtimes baked from images; their pools come and go with their use")
      ->capture_default_str();
  app.add_option("--pool", options.pool.size, "USFs kept ready")->capture_default_str();
  app.add_option("--memory", options.usf.ram_limit, "most memory of a function, e.g. 256M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("512M");
  app.add_option("--region", region, "size of the host and guest regions of a USF, e.g. 64M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64M");
  app.add_option(
         "--regions", options.regions,
         "most memory of the host regions of all functions that run, e.g. 4G; unless given,\n"
         "half of the machine's")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--metrics", options.metrics,
                 "numeric address, ADDRESS:PORT, that Prometheus finds the pool's numbers at;\n"
                 "without it they are not served");
  app.add_option("--trace", options.usf.trace, "1 system calls, 2 faults (add up)");
  app.add_flag("--verify", options.usf.verify, "prove every rollback byte by byte (slow)");
  app.add_flag_callback(
      "--no-huge-pages", [&] { options.usf.huge_pages = false; }, "4 kB pages for host regions");
  app.add_option(
      "--ready-fd", ready_fd,
      "descriptor of a pipe that gets the line \"ready\", or the error; the daemon then\n"
      "ends with the process that started it");
  app.add_flag("--remove-directory", remove_directory,
               "remove the directory of the socket at the end, when nothing is left in it");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  const std::string directory = options.socket.substr(0, options.socket.rfind('/'));
  options.usf.host_region_size = options.usf.guest_region_size = region;
  Starter starter(ready_fd);
  const Status status = Serve(std::move(options), &starter);
  const int result = status.ok() ? 0 : starter.Fail("usetl-vmmd", status);
  // Not empty: the other daemon does it. Nor where the other may be just starting.
  if (remove_directory && !starter.told()) rmdir(directory.c_str());
  return result;
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) {
  const bool doctor = argc > 1 && std::strcmp(argv[1], "--doctor") == 0;
  if (!doctor) return usetl::Main(argc, argv);
  argv[1] = argv[0];  // a program of its own from here on
  usetl::ReserveOutput();
  return usetl::EndOutput(usetl::DoctorMain(argc - 1, argv + 1));
}
