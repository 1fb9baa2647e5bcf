// bake.cc: usetl bake: a root file system becomes a runtime.
#include <unistd.h>

#include <cstdio>

#include "vmm/cli/commands.h"
#include "vmm/pool/runtime.h"

namespace usetl {

int BakeRuntime(const BakeCommand& command) {
  BakeOptions options;
  options.source = command.source;
  options.directory = command.runtimes;
  options.name = command.name;
  options.kernel = KernelPath();
  options.agent = command.agent;
  options.trace = command.trace;
  options.progress = [](const std::string& step) {
    std::fprintf(stderr, "%s ...\n", step.c_str());
  };
  Result<BakeReport> report = Bake(options);
  if (!report.ok()) return Complain(report.status().message());
  std::printf(
      "runtime %s: %.0f ms (packs %.0f, boot to READY %.0f, snapshot %.0f), "
      "%.1f MB of packs, %.1f MB of snapshot, %lu system call sites rewritten\n",
      command.name.c_str(), report->pack_ms + report->boot_ms + report->store_ms, report->pack_ms,
      report->boot_ms, report->store_ms, report->pack_bytes / 1e6, report->snapshot_bytes / 1e6,
      report->sites_rewritten);
  return 0;
}

int BringUp(const NodeOptions& options) {
  Result<std::unique_ptr<Node>> node = Node::Start(options);
  if (!node.ok()) return Complain(node.status().message());
  std::fprintf(stderr, "node %s: %u USFs of %s kept ready; stop with Ctrl-C\n",
               options.directory.c_str(), options.pool, options.runtime.c_str());
  const std::string ended = (*node)->Wait();
  return ended.empty() ? 0 : Complain(ended);
}

}  // namespace usetl
