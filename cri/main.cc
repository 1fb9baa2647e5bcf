// main.cc: usetld, the CRI server.
#include <grpcpp/grpcpp.h>
#include <malloc.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iterator>
#include <thread>

#include "cri/metrics/call_counter.h"
#include "cri/metrics/endpoint.h"
#include "cri/server/image_service.h"
#include "cri/server/node.h"
#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"
#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/network_places.h"
#include "vmm/base/starter.h"
#include "vmm/base/version.h"

namespace usetl::cri {
namespace {

// Only root may talk to us: a pod's manifest is as good as a root shell's word.
Status Protect(const std::string& socket) {
  return chmod(socket.c_str(), 0600) == 0 ? Status() : Status::Errno("chmod " + socket);
}

// Whoever starts a node at a terminal looks at no node conditions.
void WarnOfNetwork(Node* node) {
  if (!node->options.network) return;
  const Status network = node->cni.Installed();
  if (!network.ok()) spdlog::warn("no pod can start: {}", network.message());
}

// Of a node that ends: pods outlive it, which nobody would guess.
void TellWhatStays(const Store& store) {
  const size_t pods = store.Sandboxes().size();
  if (pods == 0) return;
  std::fprintf(stderr,
               "%zu pod%s, with network and records: start the node again and remove what is not "
               "wanted (usetl run --pod FILE --remove, or crictl rmp -f)\n",
               pods, pods == 1 ? " stays" : "s stay");
}

// Serves until SIGTERM or SIGINT. `whole_node`: the other daemons end with it. REQUIRES: the
// signals are blocked in all threads.
Status Serve(const NodeOptions& options, Starter* starter, bool whole_node) {
  Result<std::unique_ptr<Node>> node = Node::Open(options);
  if (!node.ok()) return node.status();
  Result<std::unique_ptr<streaming::Server>> streams =
      streaming::Server::Start(options.streaming_address, StreamBackend(node->get()),
                               [](const std::string& line) { spdlog::info("{}", line); });
  if (!streams.ok()) return streams.status();
  std::unique_ptr<MetricsEndpoint> metrics;
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> observers;
  if (!options.metrics_address.empty()) {
    Result<std::unique_ptr<MetricsEndpoint>> started =
        MetricsEndpoint::Start(options.metrics_address, node->get());
    if (!started.ok()) return started.status();
    metrics = std::move(*started);
    observers.push_back(std::make_unique<CallCounterFactory>(&(*node)->metrics));
  }
  WarnOfNetwork(node->get());
  RuntimeService runtime(node->get(), streams->get());
  ImageService images(node->get());
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddListeningPort("unix://" + options.socket, grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(&runtime);
  builder.RegisterService(&images);
  builder.experimental().SetInterceptorCreators(std::move(observers));
  constexpr int kMaxMessage = 16 << 20;  // what kubelet's client takes
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  builder.SetMaxSendMessageSize(kMaxMessage);
  const mode_t before = umask(0177);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(before);
  if (server == nullptr || bound == 0) {
    return Status(
        EADDRINUSE,
        "cannot serve at " + options.socket +
            "; does a node run there already (usetl up --cri), does the directory exist?");
  }
  USETL_RETURN_IF_ERROR(Protect(options.socket));
  USETL_RETURN_IF_ERROR(starter->Ready());
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  int signal = 0;
  sigwait(&set, &signal);
  constexpr std::chrono::seconds kLinger{2};  // for calls that are under way
  server->Shutdown(std::chrono::system_clock::now() + kLinger);
  if (whole_node) TellWhatStays(*(*node)->store);
  return Status();
}

int Main(int argc, char** argv) {
  // Calls come in bursts, on many threads: with an arena for each the memory of records would lie
  // scattered among what the calls have left.
  mallopt(M_ARENA_MAX, 2);
  NodeOptions options;
  options.socket = CriSocket(kDefaultNode);
  options.state = "/var/lib/usetl/pods";
  options.images = ImageStoreOf(kDefaultNode);
  options.pods = PodsSocket(kDefaultNode);
  options.vmmd = VmmdSocket(kDefaultNode);
  options.network_directory = "/var/run/netns";
  options.runtime = kDefaultRuntime;
  options.cni.configs = kNetworkConfigs;
  options.cni.directories.assign(std::begin(kNetworkPlugins), std::end(kNetworkPlugins));
  std::vector<std::string> mirrors, insecure, pinned;
  int64_t cni_seconds = std::chrono::ceil<std::chrono::seconds>(options.cni.limit).count();
  bool no_network = false;
  std::string cgroup_driver = "cgroupfs";
  int ready_fd = -1;
  CLI::App app{
      "Serves the Container Runtime Interface: pods with the runtime handler \"usetl\" are "
      "functions\n"
      "in pooled micro-VMs. May be killed and started again at any moment: pods go on.\n"
      "`usetl up --cri` starts it together with the other daemons; by itself:\n"
      "  usetld --socket /run/usetl/usetl.sock\n"
      "  crictl --runtime-endpoint unix:///run/usetl/usetl.sock pods"};
  app.add_option("--socket", options.socket, "where the CRI is served")->capture_default_str();
  app.add_option("--state", options.state, "directory of what it remembers")->capture_default_str();
  app.add_option("--images", options.images, "directory of the image store")->capture_default_str();
  app.add_option("--pods", options.pods, "usetl-proxy's socket for pods")->capture_default_str();
  app.add_option("--vmmd", options.vmmd, "usetl-vmmd's socket")->capture_default_str();
  app.add_option("--metrics", options.metrics_address,
                 "numeric address, ADDRESS:PORT, that Prometheus finds /metrics at; without it\n"
                 "metrics are not served");
  app.add_option("--namespaces", options.network_directory, "where network namespaces get a path")
      ->capture_default_str();
  app.add_option("--runtime", options.runtime, "runtime of images that name none")
      ->capture_default_str();
  app.add_option("--streaming-address", options.streaming_address,
                 "loopback address, HOST:PORT, that exec, attach and port-forward are served at")
      ->capture_default_str();
  app.add_option("--ready-namespaces", options.ready_namespaces,
                 "network namespaces that are kept ready")
      ->capture_default_str();
  app.add_option("--cni-conf", options.cni.configs, "directory of the network's configuration")
      ->capture_default_str();
  app.add_option("--cni-bin", options.cni.directories, "directories of network plugins, A:B")
      ->delimiter(':')
      ->capture_default_str();
  app.add_option("--cni-timeout", cni_seconds, "seconds that a network plugin gets for a call")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  AddList(&app, "--registry-mirror", &mirrors,
          "DOMAIN=URL that is asked before DOMAIN, e.g. docker.io=https://mirror.lan:5000");
  AddList(&app, "--registry-insecure", &insecure,
          "host[:port] that is spoken to without TLS (loopback always is)");
  app.add_option("--registry-ca", options.registries.ca_file,
                 "certificates to trust beside the system's, PEM");
  AddList(&app, "--pinned", &pinned, "name of an image that kubelet's garbage collection spares");
  app.add_option(
         "--cgroup-driver", cgroup_driver,
         "how kubelet is told to name cgroups: cgroupfs; systemd, for slices that are\n"
         "delegated, for usetld makes cgroups itself; or auto: systemd where that runs the\n"
         "machine")
      ->capture_default_str();
  app.add_flag("--no-network", no_network, "give pods a loopback only, no address");
  app.add_option(
      "--ready-fd", ready_fd,
      "descriptor of a pipe that gets the line \"ready\", or the error; the daemon then\n"
      "ends with the process that started it");
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  options.network = !no_network;
  options.registries.insecure.insert(insecure.begin(), insecure.end());
  options.registries.pinned.insert(pinned.begin(), pinned.end());
  options.cni.limit = std::chrono::seconds(cni_seconds);
  spdlog::set_default_logger(spdlog::stderr_logger_mt("usetld"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");

  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Starter starter(ready_fd);
  Status status = starter.Follow();
  for (const std::string& mirror : mirrors) {
    if (status.ok()) status = image::AddMirror(mirror, &options.registries);
  }
  const Result<CgroupDriver> driver = ChooseCgroupDriver(cgroup_driver);
  if (!driver.ok() && status.ok()) status = driver.status();
  if (driver.ok()) options.cgroup_driver = *driver;
  if (ready_fd < 0) spdlog::info("usetld {} starts; it will serve {}", Version(), options.socket);
  if (status.ok()) status = Serve(options, &starter, /*whole_node=*/ready_fd >= 0);
  return status.ok() ? 0 : starter.Fail("usetld", status);
}

}  // namespace
}  // namespace usetl::cri

int main(int argc, char** argv) { return usetl::cri::Main(argc, argv); }
