#include "vmm/cli/node.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "vmm/ipc/socket.h"
#include "vmm/proxy/daemon/daemon.h"
#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

volatile sig_atomic_t g_stop = 0;

// In a child: runs a daemon to its end. It goes with its parent.
template <typename Serve>
pid_t ForkDaemon(const char* name, int report_fd, Serve serve) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_NAME, name);
  setpgid(0, 0);  // a Ctrl-C of the terminal reaches the parent alone
  const Status status = serve();
  if (!status.ok()) {
    (void)!write(report_fd, status.message().data(), status.message().size());
    _exit(1);
  }
  _exit(0);
}

bool Answers(const std::string& path) { return ipc::Connect(path).ok(); }

void Reap(pid_t* child) {
  if (*child <= 0) return;
  kill(*child, SIGTERM);
  waitpid(*child, nullptr, 0);
  *child = -1;
}

}  // namespace

std::string ProgramDirectory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}
std::string KernelPath() { return ProgramDirectory() + "/usetl-kernel.elf"; }
std::string AgentPath() { return ProgramDirectory() + "/agent"; }
std::string UsfPath() { return ProgramDirectory() + "/usetl-usf"; }
std::string DefaultRuntimes() {
  const char* set = std::getenv("USETL_RUNTIMES");
  return set != nullptr ? set : "/var/lib/usetl/runtimes";
}
std::string VmmdSocket(const std::string& directory) { return directory + "/vmmd.sock"; }
std::string ProxySocket(const std::string& directory) { return directory + "/proxy.sock"; }

Result<std::unique_ptr<Node>> Node::Start(const NodeOptions& options) {
  std::unique_ptr<Node> node(new Node);
  node->directory_ = options.directory;
  if (options.directory.empty()) {
    char pattern[] = "/tmp/usetl-XXXXXX";
    if (mkdtemp(pattern) == nullptr) return Status::Errno("a directory for the node's sockets");
    node->directory_ = pattern;
    node->own_directory_ = true;
  } else {
    std::error_code error;
    std::filesystem::create_directories(options.directory, error);
    if (error) return Status(error.value(), "create " + options.directory + ": " + error.message());
  }
  VmmdOptions vmmd;
  vmmd.socket = VmmdSocket(node->directory_);
  vmmd.runtimes = options.runtimes;
  vmmd.runtime = options.runtime;
  vmmd.kernel = KernelPath();
  vmmd.huge_pages = options.huge_pages;
  vmmd.usf.program = UsfPath();
  vmmd.usf.host_region_size = vmmd.usf.guest_region_size = options.region;
  vmmd.usf.ram_limit = options.memory;
  vmmd.usf.trace = options.trace;
  vmmd.usf.verify = options.verify;
  vmmd.pool.size = options.pool;
  int report[2];
  if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0) return Status::Errno("pipe");
  const Fd read_end(report[0]), write_end(report[1]);
  node->vmmd_ = ForkDaemon("usetl-vmmd", report[1], [&]() -> Status {
    Result<std::unique_ptr<Vmmd>> daemon = Vmmd::Create(vmmd);
    return daemon.ok() ? (*daemon)->Run() : daemon.status();
  });
  const ProxyOptions proxy{ProxySocket(node->directory_), vmmd.socket, options.objects};
  node->proxy_ = ForkDaemon("usetl-proxy", report[1], [&] { return RunProxy(proxy); });
  if (node->vmmd_ < 0 || node->proxy_ < 0) return Status::Errno("fork");
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    if (Answers(vmmd.socket) && Answers(proxy.socket)) return node;
    char text[512];
    const ssize_t n = read(read_end.get(), text, sizeof text);
    if (n > 0) return Status(ECHILD, std::string(text, n));
    const timespec pause{0, 5'000'000};
    nanosleep(&pause, nullptr);
  }
  return Status(ETIMEDOUT, "the node's daemons did not come up within 5 s");
}

Node::~Node() {
  Reap(&proxy_);
  Reap(&vmmd_);
  if (!own_directory_) return;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string Node::Wait() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  while (!g_stop) {
    const pid_t ended = waitpid(-1, nullptr, 0);
    if (ended == vmmd_) return vmmd_ = -1, "usetl-vmmd ended";
    if (ended == proxy_) return proxy_ = -1, "usetl-proxy ended";
  }
  return "";
}

}  // namespace usetl
