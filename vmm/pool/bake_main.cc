// bake_main.cc: usetl-bake, which `usetl bake` becomes: a root file system becomes a runtime.
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/pool/runtime.h"

namespace usetl {
namespace {

int Main(int argc, char** argv) {
  BakeOptions options;
  bool follow = false;
  options.directory = DefaultRuntimes();
  options.name = "python3.11";
  options.kernel = KernelPath();
  options.agent = AgentPath();
  options.progress = [](const std::string& step) {
    std::fprintf(stderr, "%s ...\n", step.c_str());
  };
  CLI::App app{
      "Makes a runtime out of a root file system: packs its files, boots its Python in a micro-VM\n"
      "until it is ready, and keeps a snapshot of that moment. Nodes make their USFs from it.\n"
      "It replaces a runtime of the same name once it is whole. Example:\n"
      "  usetl bake /srv/rootfs --runtimes /var/lib/usetl/runtimes"};
  auto* source =
      app.add_option("source", options.source, "directory, or tar archive (gz, xz, zst)");
  auto* layer = AddList(&app, "--layer", &options.layers,
                        "in its place: pack of a layer of an image that has its own Python, "
                        "lowest first,\nin the file system of --runtimes");
  layer->excludes(source);
  AddList(&app, "--env", &options.environment, "variable of that image, NAME=value");
  app.add_option("--runtimes", options.directory, "directory of baked runtimes")
      ->capture_default_str();
  app.add_option("--runtime", options.name, "its name")->capture_default_str();
  app.add_option("--trace", options.trace, "1 system calls, 2 faults (add up): lines on stderr");
  app.add_flag("--follow", follow, "end with the process that started it");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  if (options.source.empty() && options.layers.empty()) {
    return RefuseArguments(app, "bake what? Give a directory or an archive");
  }
  if (follow && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    std::perror("usetl: PR_SET_PDEATHSIG");
    return 1;
  }

  Result<BakeReport> report = Bake(options);
  if (!report.ok()) {
    std::fprintf(stderr, "usetl: %s\n", report.status().message().c_str());
    return 1;
  }
  std::printf(
      "runtime %s: %.0f ms (packs %.0f, boot to READY %.0f, snapshot %.0f), "
      "%.1f MB of packs, %.1f MB of snapshot, %lu system call sites rewritten\n",
      options.name.c_str(), report->pack_ms + report->boot_ms + report->store_ms, report->pack_ms,
      report->boot_ms, report->store_ms, report->pack_bytes / 1e6, report->snapshot_bytes / 1e6,
      report->sites_rewritten);
  return 0;
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) { return usetl::Main(argc, argv); }
