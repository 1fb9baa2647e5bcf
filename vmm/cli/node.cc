#include "vmm/cli/node.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "vmm/ipc/socket.h"

namespace usetl {
namespace {

// mkdir -p
Status MakeDirectories(const std::string& path) {
  for (size_t end = 0; end != path.npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return Status::Errno("create " + part);
  }
  return Status();
}

sigset_t AwaitedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

std::string ImageStore(const NodeOptions& options, const std::string& directory) {
  return options.images.empty() ? ImageStoreOf(directory) : options.images;
}

std::vector<std::string> VmmdArguments(const NodeOptions& options, const std::string& directory) {
  std::vector<std::string> arguments = {
      "--socket",         VmmdSocket(directory),
      "--runtimes",       options.runtimes,
      "--runtime",        options.runtime,
      "--image-runtimes", ImageStore(options, directory) + "/runtimes",
      "--pool",           std::to_string(options.pool),
      "--memory",         std::to_string(options.memory),
      "--region",         std::to_string(options.region),
      "--trace",          std::to_string(options.trace)};
  if (!options.vmmd_metrics.empty()) {
    arguments.insert(arguments.end(), {"--metrics", options.vmmd_metrics});
  }
  if (options.verify) arguments.push_back("--verify");
  if (!options.huge_pages) arguments.push_back("--no-huge-pages");
  return arguments;
}

std::vector<std::string> ProxyArguments(const NodeOptions& options, const std::string& directory) {
  std::vector<std::string> arguments = {"--socket", ProxySocket(directory),
                                        "--pods",   PodsSocket(directory),
                                        "--vmmd",   VmmdSocket(directory)};
  for (const std::string& object : options.objects) {
    arguments.insert(arguments.end(), {"--objects", object});
  }
  return arguments;
}

std::vector<std::string> UsetldArguments(const NodeOptions& options, const std::string& directory) {
  const auto below = [&](const std::string& chosen, const char* name) {
    return chosen.empty() ? directory + "/" + name : chosen;
  };
  std::vector<std::string> arguments = {"--socket",     CriSocket(directory),
                                        "--pods",       PodsSocket(directory),
                                        "--runtime",    options.runtime,
                                        "--state",      below(options.state, "pods"),
                                        "--images",     ImageStore(options, directory),
                                        "--vmmd",       VmmdSocket(directory),
                                        "--namespaces", directory + "/netns"};
  if (!options.metrics.empty()) {
    arguments.insert(arguments.end(), {"--metrics", options.metrics});
  }
  if (!options.cgroup_driver.empty()) {
    arguments.insert(arguments.end(), {"--cgroup-driver", options.cgroup_driver});
  }
  if (!options.network) arguments.push_back("--no-network");
  if (!options.cni_conf.empty())
    arguments.insert(arguments.end(), {"--cni-conf", options.cni_conf});
  if (!options.cni_bin.empty()) arguments.insert(arguments.end(), {"--cni-bin", options.cni_bin});
  for (const auto& [option, values] : {std::pair{"--registry-mirror", &options.registry_mirrors},
                                       {"--registry-insecure", &options.registry_insecure},
                                       {"--pinned", &options.pinned}}) {
    for (const std::string& value : *values) {
      arguments.insert(arguments.end(), {option, value});
    }
  }
  if (!options.registry_ca.empty()) {
    arguments.insert(arguments.end(), {"--registry-ca", options.registry_ca});
  }
  return arguments;
}

}  // namespace

Result<std::unique_ptr<Node>> Node::Start(const NodeOptions& options) {
  std::unique_ptr<Node> node(new Node);
  if (options.directory.empty()) {
    char pattern[] = "/tmp/usetl-XXXXXX";
    if (mkdtemp(pattern) == nullptr) return Status::Errno("a directory for the node's sockets");
    node->directory_ = pattern;
    node->own_directory_ = true;
  } else {
    const Result<Fd> running = ipc::Connect(VmmdSocket(options.directory));
    if (running.status().code() == EACCES) return NodeOfAnother(options.directory);
    if (running.ok()) {
      return Status(EADDRINUSE, "a node runs in " + options.directory +
                                    " already; end it, or choose another --node");
    }
    USETL_RETURN_IF_ERROR(MakeDirectories(options.directory));
    node->directory_ = options.directory;
  }
  std::vector<std::string> vmmd = VmmdArguments(options, node->directory_);
  std::vector<std::string> proxy = ProxyArguments(options, node->directory_);
  if (node->own_directory_) {
    // This command may be killed: whoever ends last cleans up.
    for (auto* arguments : {&vmmd, &proxy}) arguments->push_back("--remove-directory");
  }
  Result<Daemon> started = Daemon::Spawn("usetl-vmmd", std::move(vmmd));
  if (!started.ok()) return started.status();
  node->vmmd_ = std::move(*started);
  started = Daemon::Spawn("usetl-proxy", std::move(proxy));
  if (!started.ok()) return started.status();
  node->proxy_ = std::move(*started);
  USETL_RETURN_IF_ERROR(node->vmmd_.WaitUntilReady());
  node->vmmd_name_ = ipc::SocketName(VmmdSocket(node->directory_));
  USETL_RETURN_IF_ERROR(node->proxy_.WaitUntilReady());
  node->proxy_name_ = ipc::SocketName(ProxySocket(node->directory_));
  node->pods_name_ = ipc::SocketName(PodsSocket(node->directory_));
  if (options.cri) {
    started = Daemon::Spawn("usetld", UsetldArguments(options, node->directory_));
    if (!started.ok()) return started.status();
    node->usetld_ = std::move(*started);
    USETL_RETURN_IF_ERROR(node->usetld_.WaitUntilReady());
  }
  return node;
}

Node::~Node() {
  usetld_ = Daemon();
  proxy_ = Daemon();
  vmmd_ = Daemon();
  if (directory_.empty()) return;
  // The daemons have done it already, unless they were killed.
  if (!own_directory_) {
    proxy_name_.Remove();
    pods_name_.Remove();
    vmmd_name_.Remove();
    return;
  }
  unlink(ProxySocket(directory_).c_str());
  unlink(PodsSocket(directory_).c_str());
  unlink(VmmdSocket(directory_).c_str());
  rmdir(directory_.c_str());
}

void Node::HoldSignals() {
  const sigset_t set = AwaitedSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

std::string Node::Wait() {
  const sigset_t set = AwaitedSignals();
  for (;;) {
    // First, for what ended before HoldSignals().
    for (Daemon* daemon : {&vmmd_, &proxy_, &usetld_}) {
      if (daemon->Ended()) return daemon->name() + " ended";
    }
    const int signal = sigwaitinfo(&set, nullptr);
    if (signal == SIGINT || signal == SIGTERM) return "";
  }
}

}  // namespace usetl
