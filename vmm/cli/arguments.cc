// arguments.cc: the options of each verb.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/cli/commands.h"
#include "vmm/pool/protocol.h"

namespace usetl {
namespace {

void AddNodeOptions(CLI::App* app, NodeOptions* node) {
  AddPath(app, "--runtimes", &node->runtimes, "directory of baked runtimes")->capture_default_str();
  app->add_option("--runtime", node->runtime, "which runtime")->capture_default_str();
  app->add_option("--memory", node->memory, "most memory of a function, e.g. 256M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("512M");
  app->add_option("--region", node->region, "size of the host and guest regions of a USF, e.g. 64M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64M");
  AddList(app, "--objects", &node->objects,
          "NAME=DIRECTORY[:rw]: files that functions reach as file:///NAME/...; :rw wants a\n"
          "directory that group 65534 may write");
  app->add_option("--trace", node->trace, "1 system calls, 2 faults (add up): lines on stderr");
  app->add_flag("--verify", node->verify, "prove every rollback byte by byte (slow)");
  app->add_flag_callback(
      "--no-huge-pages", [node] { node->huge_pages = false; }, "4 kB pages for host regions");
}

// Of a number of seconds: empty, or what is wrong.
std::string CheckTimeout(const std::string& text) {
  constexpr double kLeast = 0.001, kMost = 1000 * 3600;  // usetl-proxy's milliseconds have 32 bits
  const double seconds = std::strtod(text.c_str(), nullptr);
  return seconds >= kLeast && seconds <= kMost ? "" : "wants a time from 1ms to 1000h";
}

std::string CheckPool(const std::string& text) {
  uint32_t usfs = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, usfs);
  if (error == std::errc() && rest == end && usfs <= pool::kMostUsfs) return "";
  return "wants a number from 0 to " + std::to_string(pool::kMostUsfs);
}

void AddRegistryOptions(CLI::App* app, NodeOptions* node, CLI::Option* cri) {
  AddList(app, "--registry-mirror", &node->registry_mirrors,
          "with --cri: DOMAIN=URL that is asked before DOMAIN, e.g.\n"
          "docker.io=https://mirror.lan:5000")
      ->needs(cri);
  AddList(app, "--registry-insecure", &node->registry_insecure,
          "with --cri: host[:port] that is spoken to without TLS (loopback always is)")
      ->needs(cri);
  app->add_option("--registry-ca", node->registry_ca,
                  "with --cri: certificates to trust beside the system's, PEM")
      ->needs(cri);
  AddList(app, "--pinned", &node->pinned,
          "with --cri: name of an image that kubelet's garbage collection spares")
      ->needs(cri);
}

// How many arguments of the function stand before "--", or without one: they may be options that
// lost their dashes, or the words of an event without its quotes.
size_t StrayArguments(size_t arguments, int argc, char** argv) {
  const char* const* const end = argv + argc;
  const char* const* const mark = std::find_if(
      argv, argv + argc, [](const char* word) { return std::strcmp(word, "--") == 0; });
  const size_t behind = mark == end ? 0 : end - mark - 1;
  return arguments > behind ? arguments - behind : 0;
}

}  // namespace

int RunMain(int argc, char** argv) {
  for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    if (std::strcmp(argv[i], "--pod") != 0 && std::strncmp(argv[i], "--pod=", 6) != 0) continue;
    // usetl-pod takes the file by itself, so that --help behind --pod is none.
    std::vector<std::string> arguments(argv + 1, argv + i);
    if (argv[i][5] == '=') arguments.emplace_back(argv[i] + 6);
    arguments.insert(arguments.end(), argv + i + 1, argv + argc);
    return Complain(Become("usetl-pod", "usetl run --pod", arguments).message());
  }
  RunOptions run;
  run.node = kDefaultNode;
  run.embedded.runtimes = DefaultRuntimes();
  CLI::App app{
      "Runs one function; its exit status is that of the function.\n"
      "Uses the node that runs in --node, else brings up one for this command.\n"
      "usetl run --pod POD.yaml runs the pod of a Kubernetes manifest (usetl run --pod --help).",
      argv[0]};
  app.add_option("function", run.function,
                 "Python file with handler(event, context), lambda_handler, main(event), "
                 "handle(...), or a script")
      ->required();
  app.add_option("--handler", run.handler, "name of the handler");
  app.add_option("--event", run.event, "for a handler: JSON text, or @FILE");
  AddList(
      &app, "--allow", &run.allow,
      "origin that the function may reach, e.g. http://127.0.0.1:8080 or\nhttps://*.example.com");
  AddList(&app, "--env", &run.env, "NAME=VALUE");
  app.add_option("--timeout", run.timeout_seconds, "seconds, or with a unit: 500ms, 2m, 1h")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, double>{{"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}}))
      ->check(CheckTimeout)
      ->default_str("60");
  app.add_flag("--timings", run.timings, "print where the time went, on stderr");
  AddPath(&app, "--node", &run.node, "directory of a running node")->capture_default_str();
  app.add_flag_callback(
      "--script", [&] { run.mode = "script"; }, "run as a script to its end");
  app.add_option("arguments", run.arguments, "after --: the function's, in sys.argv");
  AddNodeOptions(&app, &run.embedded);
  app.footer(
      "Exit status: the function's; 124 it ran into --timeout; 125 it could not be run, or was\n"
      "lost; 128 and a signal's number it was ended by that; 2 this command line is wrong.\n"
      "Standard input is read first, to its end, up to 32 MB; not with --event or --handler.");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  run.with_event = app.count("--event") > 0;
  if (const size_t stray = StrayArguments(run.arguments.size(), argc, argv); stray > 0) {
    return RefuseArguments(app, "\"" + run.arguments[0] +
                                    "\" is no option; arguments of the function stand behind --");
  }
  run.node_chosen = app.count("--node") > 0;
  if (run.mode == "script" && (run.with_event || !run.handler.empty())) {
    return RefuseArguments(app, "--event and --handler are for handlers, not beside --script");
  }
  if (app.count("--memory") > 0) run.memory = run.embedded.memory;
  for (const char* option :
       {"--runtimes", "--region", "--objects", "--trace", "--verify", "--no-huge-pages"}) {
    if (app.count(option) > 0) run.of_node = option;
  }
  const int status = RunFunction(run);
  _exit(status);  // what is left to take down is memory, which the kernel does faster
}

int UpMain(int argc, char** argv) {
  NodeOptions up;
  up.directory = kDefaultNode;
  up.runtimes = DefaultRuntimes();
  CLI::App app{"Runs the daemons of a node in the foreground, until Ctrl-C.", argv[0]};
  AddPath(&app, "--node", &up.directory, "directory for the node's sockets")->capture_default_str();
  app.add_option("--pool", up.pool, "USFs kept ready")->check(CheckPool)->capture_default_str();
  CLI::Option* const cri = app.add_flag(
      "--cri", up.cri, "serve the Container Runtime Interface too, at NODE/usetl.sock");
  AddPath(&app, "--state", &up.state, "with --cri: directory of pods and containers [NODE/pods]")
      ->needs(cri);
  AddPath(&app, "--images", &up.images,
          "with --cri: directory of the image store [" + ImageStoreOf(kDefaultNode) +
              ", with --node NODE/images]")
      ->needs(cri);
  app.add_option("--metrics", up.metrics,
                 "with --cri: numeric ADDRESS:PORT to serve Prometheus metrics at [not served]")
      ->needs(cri);
  app.add_option("--vmmd-metrics", up.vmmd_metrics,
                 "numeric ADDRESS:PORT where usetl-vmmd serves its own, without --cri too [not "
                 "served]");
  app.add_option(
         "--cgroup-driver", up.cgroup_driver,
         "with --cri: how kubelet is told to name cgroups: cgroupfs, systemd, auto\n[cgroupfs]")
      ->needs(cri);
  app.add_flag_callback(
         "--no-network", [&] { up.network = false; },
         "with --cri: pods have a loopback only, no address")
      ->needs(cri);
  AddPath(&app, "--cni-conf", &up.cni_conf,
          "with --cri: directory of the network's configuration [/etc/cni/net.d]")
      ->needs(cri);
  app.add_option("--cni-bin", up.cni_bin,
                 "with --cri: directories of network plugins, A:B [/opt/cni/bin:/usr/lib/cni]")
      ->needs(cri);
  AddRegistryOptions(&app, &up, cri);
  AddNodeOptions(&app, &up);
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  return BringUp(up);
}

int PsMain(int argc, char** argv) {
  std::string node = kDefaultNode;
  CLI::App app{"Lists the USFs of a running node.", argv[0]};
  AddPath(&app, "--node", &node, "directory of the node")->capture_default_str();
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  return Inspect(node, /*table=*/true);
}

int InspectMain(int argc, char** argv) {
  std::string node = kDefaultNode;
  CLI::App app{"Shows pool, USFs and counters of a running node as JSON.", argv[0]};
  AddPath(&app, "--node", &node, "directory of the node")->capture_default_str();
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  return Inspect(node, /*table=*/false);
}

}  // namespace usetl
