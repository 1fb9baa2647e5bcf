// bake_main.cc: usetl-bake, which `usetl bake` becomes: a root file system becomes a runtime. With
// images it becomes usetl-image, which comes back to it with their layers.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/pool/bake_source.h"
#include "vmm/pool/runtime.h"

namespace usetl {
namespace {

// Returns only to say why it failed.
Status BakeAnImage(BakeSource source, const BakeOptions& options, const std::string& store) {
  std::vector<std::string> arguments = {"bake", "--runtimes", options.directory, "--runtime",
                                        options.name};
  if (options.trace != 0) {
    arguments.insert(arguments.end(), {"--trace", std::to_string(options.trace)});
  }
  if (!store.empty()) arguments.insert(arguments.end(), {"--store", store});
  if (source == BakeSource::kImageFile) {
    arguments.push_back("--file=" + options.source);
  } else {
    arguments.insert(arguments.end(), {"--", options.source});
  }
  return Become("usetl-image", "usetl image", arguments);
}

int Main(int argc, char** argv) {
  BakeOptions options;
  std::string store;
  pid_t follow = 0;
  options.directory = DefaultRuntimes();
  options.name = kDefaultRuntime;
  options.kernel = KernelPath();
  options.agent = AgentPath();
  options.progress = [](const std::string& step) {
    std::fprintf(stderr, "%s ...\n", step.c_str());
  };
  CLI::App app{
      "Makes a runtime out of a root file system or an image: packs its files, boots its Python in "
      "a\n"
      "micro-VM until it is ready, and keeps a snapshot of that moment. Nodes make their USFs "
      "from\n"
      "it. It replaces a runtime of the same name once it is whole. Examples:\n"
      "  usetl bake /srv/rootfs --runtimes /var/lib/usetl/runtimes\n"
      "  usetl bake image.tar --runtime team-1\n"
      "  usetl bake localhost:5000/team/function:1 --runtime team-2"};
  auto* source = app.add_option(
      "source", options.source,
      "root file system: directory, or tar archive (gz, xz, zst); image with a Python of its own:\n"
      "docker-save or OCI archive, OCI layout, or the name of one that usetl image ls lists");
  auto* layer = AddList(&app, "--layer", &options.layers,
                        "in its place: pack of a layer of an image that has its own Python, "
                        "lowest first,\nin the file system of --runtimes");
  layer->excludes(source)->group("");  // usetl-image's and usetld's, as are the others without one
  app.add_option("--images", store,
                 "image store to find a named image in [" + ImageStoreOf(kDefaultNode) + "]");
  AddList(&app, "--env", &options.environment, "variable of that image, NAME=value")->group("");
  app.add_option("--runtimes", options.directory, "directory of baked runtimes")
      ->capture_default_str();
  app.add_option("--runtime", options.name, "its name")->capture_default_str();
  app.add_option("--trace", options.trace, "1 system calls, 2 faults (add up): lines on stderr");
  app.add_option("--follow", follow, "number of the process that starts it: ends with that")
      ->group("");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  if (options.source.empty() && options.layers.empty()) {
    return RefuseArguments(app, "bake what? Give a directory or an archive");
  }
  if (options.layers.empty()) {
    const Result<BakeSource> kind = FindOutSource(options.source);
    const Status became = !kind.ok() ? kind.status()
                          : *kind == BakeSource::kRootFileSystem
                              ? Status()
                              : BakeAnImage(*kind, options, store);
    if (!became.ok()) {
      std::fprintf(stderr, "usetl: %s\n", became.message().c_str());
      return 1;
    }
  }
  if (follow != 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    std::perror("usetl: PR_SET_PDEATHSIG");
    return 1;
  }
  if (follow != 0 && getppid() != follow) {
    std::fprintf(stderr, "usetl: process %d, which starts this one, has ended\n", follow);
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
