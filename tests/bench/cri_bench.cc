// cri_bench.cc: a client of usetld that costs less than what it measures. Prints JSON.
//
//   cri_bench SOCKET list PODS CALLS       PODS sandboxes; latencies of ListPodSandbox while 20
//                                          sandboxes a second come and go, "ms": [...]
//   cri_bench SOCKET burst PODS THREADS IMAGE LOGS CGROUP
//                                          PODS pods of one function each, below CGROUP (may be
//                                          ""), from THREADS threads, until all have answered over
//                                          HTTP: "seconds", and what each of the calls took, "ms":
//                                          {...}
//
// Sandboxes of `list` are removed at the end, pods of `burst` stay.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "runtime.grpc.pb.h"
#include "vmm/base/fd.h"

namespace usetl::bench {
namespace {

namespace v1 = ::runtime::v1;
using Clock = std::chrono::steady_clock;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "cri_bench: %s\n", what.c_str());
  std::exit(1);
}

double MsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// Calls by name; an error ends the program.
class Client {
 public:
  explicit Client(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
        "unix://" + socket, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::RuntimeService::NewStub(channel);
    raw_ = std::make_unique<grpc::GenericStub>(channel);
  }

  std::string Run(const std::string& name, const std::string& logs,
                  const std::string& cgroup = "") {
    v1::RunPodSandboxRequest request;
    v1::PodSandboxConfig& config = *request.mutable_config();
    Fill(name, logs, &config);
    config.mutable_linux()->set_cgroup_parent(cgroup);
    return Call(&v1::RuntimeService::Stub::RunPodSandbox, request, v1::RunPodSandboxResponse())
        .pod_sandbox_id();
  }

  std::string Create(const std::string& pod, const std::string& image) {
    v1::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    request.mutable_config()->mutable_metadata()->set_name("function");
    request.mutable_config()->mutable_image()->set_image(image);
    request.mutable_config()->set_log_path("function.log");
    return Call(&v1::RuntimeService::Stub::CreateContainer, request, v1::CreateContainerResponse())
        .container_id();
  }

  void Start(const std::string& container) {
    v1::StartContainerRequest request;
    request.set_container_id(container);
    Call(&v1::RuntimeService::Stub::StartContainer, request, v1::StartContainerResponse());
  }

  std::string NetworkOf(const std::string& pod) {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    request.set_verbose(true);
    const auto response =
        Call(&v1::RuntimeService::Stub::PodSandboxStatus, request, v1::PodSandboxStatusResponse());
    const auto info = nlohmann::json::parse(response.info().at("info"), nullptr, false);
    if (!info.is_object()) Die("the status of a pod is no JSON");
    return info.value("networkNamespace", "");
  }

  void Remove(const std::string& pod) {
    v1::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(pod);
    Call(&v1::RuntimeService::Stub::StopPodSandbox, stop, v1::StopPodSandboxResponse());
    v1::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(pod);
    Call(&v1::RuntimeService::Stub::RemovePodSandbox, remove, v1::RemovePodSandboxResponse());
  }

  // How long it takes until the answer is there, ms; reading it is the client's affair.
  double List(int* listed) {
    grpc::ByteBuffer request, answer;
    bool own = false;
    if (!grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::ListPodSandboxRequest>(
             v1::ListPodSandboxRequest(), &request, &own)
             .ok()) {
      Die("cannot write a request");
    }
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    grpc::CompletionQueue queue;
    grpc::Status status;
    const auto begin = Clock::now();
    const auto call = raw_->PrepareUnaryCall(&context, "/runtime.v1.RuntimeService/ListPodSandbox",
                                             request, &queue);
    call->StartCall();
    call->Finish(&answer, &status, this);
    void* tag = nullptr;
    bool done = false;
    queue.Next(&tag, &done);
    const double took = MsSince(begin);
    if (!status.ok()) Die(status.error_message());
    v1::ListPodSandboxResponse response;
    if (!grpc::SerializationTraits<v1::ListPodSandboxResponse>::Deserialize(&answer, &response)
             .ok()) {
      Die("a list cannot be read");
    }
    *listed = response.items_size();
    return took;
  }

 private:
  static std::chrono::system_clock::time_point Deadline() {
    return std::chrono::system_clock::now() + std::chrono::seconds(60);
  }

  static void Fill(const std::string& name, const std::string& logs, v1::PodSandboxConfig* config) {
    config->mutable_metadata()->set_name(name);
    config->mutable_metadata()->set_namespace_("default");
    config->mutable_metadata()->set_uid("uid-" + name);
    config->set_hostname(name);
    config->set_log_directory(logs + "/" + name);
    // As kubelet has them.
    (*config->mutable_labels())["io.kubernetes.pod.name"] = name;
    (*config->mutable_labels())["io.kubernetes.pod.namespace"] = "default";
    (*config->mutable_labels())["io.kubernetes.pod.uid"] = "uid-" + name;
    (*config->mutable_annotations())["kubernetes.io/config.source"] = "api";
  }

  template <typename Method, typename Request, typename Response>
  Response Call(Method method, const Request& request, Response response) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) Die(status.error_message());
    return response;
  }

  std::unique_ptr<v1::RuntimeService::Stub> stub_;
  std::unique_ptr<grpc::GenericStub> raw_;
};

// One POST on a connection of its own, from within the network namespace.
void Request(const std::string& network) {
  const Fd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd there(open(network.c_str(), O_RDONLY | O_CLOEXEC));
  if (!home.ok() || setns(there.get(), CLONE_NEWNET) != 0) Die("cannot enter " + network);
  const Fd connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (setns(home.get(), CLONE_NEWNET) != 0) Die("cannot leave " + network);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(8080);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    Die("a pod refuses the connection");
  }
  constexpr std::string_view kRequest =
      "POST / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\nContent-Type: application/json\r\n"
      "Content-Length: 8\r\n\r\n{\"n\": 1}";
  if (send(connection.get(), kRequest.data(), kRequest.size(), 0) !=
      static_cast<ssize_t>(kRequest.size())) {
    Die("cannot send a request");
  }
  std::string answer;
  char buffer[4096];
  for (ssize_t count; (count = recv(connection.get(), buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, count);
  }
  if (!answer.starts_with("HTTP/1.1 200")) Die("unexpected answer: " + answer);
}

nlohmann::json List(const std::string& socket, int pods, int calls) {
  Client client(socket);
  std::vector<std::string> made;
  for (int i = 0; i < pods; ++i)
    made.push_back(client.Run("listed" + std::to_string(i), "/nowhere"));
  std::atomic<bool> ended = false;
  std::thread passing([&] {
    Client other(socket);
    auto next = Clock::now();
    for (int i = 0; !ended; ++i) {
      other.Remove(other.Run("passing" + std::to_string(i), "/nowhere"));
      std::this_thread::sleep_until(next += std::chrono::milliseconds(50));
    }
  });
  std::vector<double> samples;
  for (int i = 0; i < calls; ++i) {
    int listed = 0;
    samples.push_back(client.List(&listed));
    if (listed < pods) Die("a list is not complete");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ended = true;
  passing.join();
  for (const std::string& pod : made) client.Remove(pod);
  return {{"ms", samples}};
}

nlohmann::json Burst(const std::string& socket, int pods, int threads, const std::string& image,
                     const std::string& logs, const std::string& cgroup) {
  std::map<std::string, std::vector<double>> samples;
  std::mutex mutex;  // of samples
  std::atomic<int> next = 0;
  const auto work = [&] {
    Client client(socket);
    for (int i; (i = next++) < pods;) {
      std::vector<std::pair<const char*, double>> took;
      auto begin = Clock::now();
      const auto took_until_now = [&](const char* what) {
        took.emplace_back(what, MsSince(begin));
        begin = Clock::now();
      };
      const std::string pod = client.Run("burst" + std::to_string(i), logs, cgroup);
      took_until_now("RunPodSandbox");
      const std::string container = client.Create(pod, image);
      took_until_now("CreateContainer");
      client.Start(container);
      took_until_now("StartContainer");
      const std::string network = client.NetworkOf(pod);
      took_until_now("PodSandboxStatus");
      Request(network);
      took_until_now("request");
      const std::lock_guard lock(mutex);
      for (const auto& [what, ms] : took) samples[what].push_back(ms);
    }
  };
  const auto begin = Clock::now();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  return {{"seconds", MsSince(begin) / 1e3}, {"ms", samples}};
}

int Main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[2] : "";
  nlohmann::json result;
  if (what == "list" && argc == 5) {
    result = List(argv[1], std::atoi(argv[3]), std::atoi(argv[4]));
  } else if (what == "burst" && argc == 8) {
    result = Burst(argv[1], std::atoi(argv[3]), std::atoi(argv[4]), argv[5], argv[6], argv[7]);
  } else {
    Die("usage: cri_bench SOCKET list PODS CALLS | burst PODS THREADS IMAGE LOGS CGROUP");
  }
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace usetl::bench

int main(int argc, char** argv) { return usetl::bench::Main(argc, argv); }
