// main.cc: the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <optional>

#include "vmm/cli/commands.h"

namespace usetl {

int Complain(const std::string& message, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "usetl: %s\n", message.c_str());
  return status;
}

namespace {

// Verbs that need libraries which this program does without.
constexpr struct OtherProgram {
  const char *verb, *program, *option, *what;
} kOtherPrograms[] = {
    {"bake", "usetl-bake", nullptr,
     "Make a runtime out of a root file system: a directory, or a tar archive (gz, xz, zst)."},
    {"doctor", "usetl-vmmd", "--doctor", "Say what this machine has and lacks, and what to do."},
};

// Returns only when the verb is one of this program's own, or with the status of a failure.
std::optional<int> BecomeOther(int argc, char** argv) {
  if (argc < 2) return std::nullopt;
  for (const OtherProgram& other : kOtherPrograms) {
    if (std::strcmp(argv[1], other.verb) != 0) continue;
    std::vector<std::string> arguments(argv + 2, argv + argc);
    if (other.option != nullptr) arguments.insert(arguments.begin(), other.option);
    return Complain(Become(other.program, std::string("usetl ") + other.verb, arguments).message());
  }
  return std::nullopt;
}

void AddNodeOptions(CLI::App* app, NodeOptions* node) {
  app->add_option("--runtimes", node->runtimes, "directory of baked runtimes")
      ->capture_default_str();
  app->add_option("--runtime", node->runtime, "which runtime")->capture_default_str();
  app->add_option("--memory", node->memory, "most memory of a function, e.g. 256M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("512M");
  app->add_option("--region", node->region, "size of the host and guest regions of a USF, e.g. 64M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64M");
  app->add_option("--objects", node->objects,
                  "NAME=DIRECTORY[:rw]: files that functions reach as file:///NAME/...");
  app->add_option("--trace", node->trace, "1 system calls, 2 faults (add up): lines on stderr");
  app->add_flag("--verify", node->verify, "prove every rollback byte by byte (slow)");
  app->add_flag("!--no-huge-pages", node->huge_pages, "4 kB pages for host regions");
}

int Main(int argc, char** argv) {
  if (const std::optional<int> failed = BecomeOther(argc, argv)) return *failed;
  CLI::App app{
      "USETL runs functions in micro-VMs that were booted, warmed and snapshotted before.\n"
      "First: usetl doctor; then usetl bake ROOTFS; then usetl run FUNC.py."};
  app.require_subcommand(1);

  RunOptions run;
  run.node = kDefaultNode;
  run.embedded.runtimes = DefaultRuntimes();
  CLI::App* run_app =
      app.add_subcommand("run",
                         "Run one function; its exit status is that of the function.\n"
                         "Uses the node that runs in --node, else brings up one for this command.");
  run_app
      ->add_option("function", run.function,
                   "Python file with handler(event, context), main(event), "
                   "handle(...), or a script")
      ->required();
  run_app->add_option("--handler", run.handler, "name of the handler");
  run_app->add_option("--event", run.event, "JSON text, or @FILE");
  run_app->add_option(
      "--allow", run.allow,
      "origin that the function may reach, e.g. http://127.0.0.1:8080 or https://*.example.com");
  run_app->add_option("--env", run.env, "NAME=VALUE");
  run_app->add_option("--timeout", run.timeout_seconds, "seconds, or with a unit: 500ms, 2m")
      ->transform(
          CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"ms", 0.001}, {"m", 60}}))
      ->default_str("60");
  run_app->add_flag("--timings", run.timings, "print where the time went, on stderr");
  run_app->add_option("--node", run.node, "directory of a running node")->capture_default_str();
  run_app->add_flag_callback(
      "--script", [&] { run.mode = "script"; }, "run as a script to its end");
  run_app->add_option("arguments", run.arguments, "arguments of a script, after --");
  AddNodeOptions(run_app, &run.embedded);

  NodeOptions up;
  up.directory = kDefaultNode;
  up.runtimes = DefaultRuntimes();
  CLI::App* up_app = app.add_subcommand("up", "Run the daemons in the foreground.");
  up_app->add_option("--node", up.directory, "directory for the node's sockets")
      ->capture_default_str();
  up_app->add_option("--pool", up.pool, "USFs kept ready")->capture_default_str();
  AddNodeOptions(up_app, &up);

  std::string node = kDefaultNode;
  CLI::App* ps_app = app.add_subcommand("ps", "List the USFs of a running node.");
  ps_app->add_option("--node", node, "directory of the node")->capture_default_str();
  CLI::App* inspect_app =
      app.add_subcommand("inspect", "Pool, USFs and counters of a running node as JSON.");
  inspect_app->add_option("--node", node, "directory of the node")->capture_default_str();

  // Shown in the help; Main() has become their programs before it comes here.
  for (const OtherProgram& other : kOtherPrograms) app.add_subcommand(other.verb, other.what);

  CLI11_PARSE(app, argc, argv);
  if (*run_app) return RunFunction(run);
  if (*up_app) return BringUp(up);
  return Inspect(node, static_cast<bool>(*ps_app));
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) { return usetl::Main(argc, argv); }
