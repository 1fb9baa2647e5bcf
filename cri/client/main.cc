// main.cc: usetl-pod, which is `usetl run --pod`: a Pod manifest on a node, without a cluster.
#include <fcntl.h>
#include <sys/random.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cri/client/pod_end.h"
#include "cri/client/pod_look.h"
#include "cri/client/pod_runner.h"
#include "vmm/base/command_line.h"
#include "vmm/base/fd.h"
#include "vmm/base/installation.h"
#include "vmm/base/output.h"

namespace usetl::cri {
namespace {

int Complain(const std::string& message, int status = 1) {
  std::fflush(stdout);
  std::fprintf(stderr, "usetl: %s\n", message.c_str());
  return status;
}

Result<std::string> NewUid() {
  uint8_t b[16];
  if (getrandom(b, sizeof b, 0) != sizeof b) return Status::Errno("getrandom");
  char text[37];
  std::snprintf(text, sizeof text,
                "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11], b[12],
                b[13], b[14], b[15]);
  return std::string(text);
}

Result<std::string> ReadManifest(const std::string& path) {
  const Fd file(path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return Status::Errno("cannot read " + path);
  std::string text;
  char buffer[64 << 10];
  // One that is too long is the parser's to refuse.
  while (text.size() <= kMostManifest) {
    const ssize_t count = read(file.get(), buffer, sizeof buffer);
    if (count < 0) return Status::Errno("cannot read " + path);
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

// CLI11 knows no other order than OPTIONS first.
class PodFormatter : public CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string name) const override {
    return "Usage: " + name + " POD.yaml [OPTIONS]\n";
  }
};

void Announce(const PodRunner& runner) {
  std::fprintf(stderr, "pod %.13s", runner.pod().c_str());
  if (!runner.address().empty()) {
    std::fprintf(stderr, " at %s\n", runner.address().c_str());
  } else {
    std::fprintf(stderr, " has a loopback only: nsenter --net=%s\n",
                 runner.network_namespace().c_str());
  }
}

// An option of the command of --exec that stands where ours do; null: none.
const char* OptionOfCommand(const CLI::App& app, int argc, char** argv) {
  bool exec = false;
  for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    const std::string word(argv[i], std::strcspn(argv[i], "="));
    exec = exec || word == "--exec";
    const bool option = word.size() > 1 && word[0] == '-';
    if (exec && option && app.get_option_no_throw(word) == nullptr) return argv[i];
  }
  return nullptr;
}

// How the pod is removed that this command line runs.
std::string RemoveCommand(const CLI::App& app, const std::string& manifest_path) {
  std::string command = app.get_name() + " " + (manifest_path == "-" ? "POD.yaml" : manifest_path);
  for (const char* option : {"--node", "--socket", "--volumes"}) {
    if (app.count(option) == 0) continue;
    command += std::string(" ") + option + " " + app.get_option(option)->as<std::string>();
  }
  return command + " --remove";
}

// Runs the pod to its end, or until it has started if it is to be left then; the exit status.
// `left`: what to do about a pod that cannot be removed.
int Run(PodRunner* runner, bool detach, const Interrupts& interrupts, const std::string& left) {
  const Status started = runner->Start();
  const bool unwanted = interrupts.signal() != 0 && (detach || !started.ok());
  if (!started.ok() || unwanted) {
    const Status removed = runner->Remove();
    if (unwanted && removed.ok()) return 128 + interrupts.signal();
    if (removed.ok()) return Complain(started.message(), runner->failure());
    return Complain((unwanted ? removed : started).message() + "; " + left, runner->failure());
  }
  Announce(*runner);
  if (detach) {
    std::printf("%s\n", runner->pod().c_str());
    return 0;
  }
  const Result<int> code = runner->Follow();
  const Status removed = runner->Remove();
  if (!removed.ok()) return Complain((code.ok() ? removed : code.status()).message() + "; " + left);
  if (!code.ok()) return Complain(code.status().message());
  return *code;
}

int Remove(const std::string& socket, const std::string& yaml, const ManifestOptions& options) {
  std::vector<std::string> removed;
  const Status status = RemovePods(socket, yaml, options, &removed);
  for (const std::string& pod : removed) std::printf("%s\n", pod.c_str());
  return status.ok() ? 0 : Complain(status.message());
}

int Main(int argc, char** argv) {
  std::string manifest_path, container, node = kDefaultNode, socket;
  ManifestOptions options;
  options.logs = "/var/log/pods";
  std::vector<std::string> command;
  bool detach = false, remove = false, stats = false, exec = false;
  CLI::App app{
      "Runs the pod of a Kubernetes manifest on a node without a cluster (usetl up --cri), shows\n"
      "what its containers print, and removes it when they have ended or on Ctrl-C. Exit status:\n"
      "that of the first container that failed; 130 after a Ctrl-C before all of them had "
      "started,\n"
      "143 after a SIGTERM. cri/README.md lists the fields that it takes.\n"
      "Logs stay, in LOGS/NAMESPACE_NAME_UID/CONTAINER/0.log. Examples:\n"
      "  usetl run --pod manifests/samples/hello/pod.yaml\n"
      "  usetl run --pod manifests/samples/hello/pod.yaml --detach\n"
      "  usetl run --pod manifests/samples/hello/pod.yaml --stats\n"
      "  usetl run --pod manifests/samples/hello/pod.yaml --exec -- python3 -c 'print(1)'\n"
      "  usetl run --pod manifests/samples/hello/pod.yaml --remove",
      "usetl run --pod"};
  app.formatter(std::make_shared<PodFormatter>());
  app.add_option("POD.yaml", manifest_path, "YAML file with a Pod; - reads standard input")
      ->required();
  CLI::Option* const whose =
      AddPath(&app, "--node", &node, "directory of the node")->capture_default_str();
  AddPath(&app, "--socket", &socket, "in its place: of the CRI [NODE/usetl.sock]")->excludes(whose);
  AddPath(&app, "--logs", &options.logs, "directory of logs")->capture_default_str();
  AddPath(&app, "--volumes", &options.volumes, "directory of emptyDir volumes [NODE/volumes]");
  app.add_option("COMMAND", command, "of --exec, with its arguments");
  app.add_option("--container", container, "of --exec [the first]");
  app.add_flag("--detach", detach, "leave the pod running, print its id");
  app.add_flag("--stats", stats,
               "run nothing: show what the pods of this name and namespace use,\nand how those of "
               "their containers ended that have");
  app.add_flag("--exec", exec, "run a program beside the function in a container of theirs");
  app.add_flag("--remove", remove, "run nothing: end and remove them, print their ids");
  if (const char* option = OptionOfCommand(app, argc, argv)) {
    return RefuseArguments(
        app, std::string(option) + ": a command with options stands behind --: --exec -- COMMAND " +
                 option);
  }
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  if (detach + stats + exec + remove > 1) {
    return RefuseArguments(app, "--detach, --stats, --exec and --remove go one at a time");
  }
  if (exec == command.empty()) {
    return RefuseArguments(app, exec ? "--exec what? Give it behind --: --exec -- COMMAND ARGUMENT"
                                     : "a command is for --exec");
  }
  while (node.size() > 1 && node.ends_with('/')) node.pop_back();
  if (socket.empty()) socket = CriSocket(node);
  if (options.volumes.empty()) options.volumes = std::filesystem::absolute(node + "/volumes");
  Result<std::string> uid = NewUid();
  if (!uid.ok()) return Complain(uid.status().message());
  options.uid = *uid;
  const Result<std::string> yaml = ReadManifest(manifest_path);
  if (!yaml.ok()) return Complain(yaml.status().message());
  Result<PodManifest> manifest = ParsePodManifest(*yaml, options);
  if (!manifest.ok()) return Complain(manifest_path + ": " + manifest.status().message());
  if (remove) return Remove(socket, *yaml, options);
  if (stats) {
    const Status shown = ShowStats(socket, *manifest);
    return shown.ok() ? 0 : Complain(shown.message());
  }
  if (exec) {
    const Result<int> code = ExecInPod(socket, *manifest, container, command);
    return code.ok() ? *code : Complain(code.status().message());
  }
  for (const std::string& field : manifest->ignored) {
    std::fprintf(stderr, "%s: %s means nothing without a cluster\n", manifest_path.c_str(),
                 field.c_str());
  }
  const v1::PodSandboxMetadata& name = manifest->sandbox.metadata();
  // Before there are any threads of gRPC.
  const std::string left = "pod " + name.namespace_() + "/" + name.name() +
                           " may be left; this removes it: " + RemoveCommand(app, manifest_path);
  Interrupts interrupts(left);
  PodRunner runner(socket, std::move(*manifest), &interrupts);
  return Run(&runner, detach, interrupts, left);
}

}  // namespace
}  // namespace usetl::cri

int main(int argc, char** argv) {
  usetl::ReserveOutput();
  return usetl::EndOutput(usetl::cri::Main(argc, argv));
}
