// pod_lives.cc: starts and removes pods over the CRI and says how long that took: a client that
// costs little beside what it measures, on either side.
//
//   pod_lives SOCKET       a command a line from standard input, a line of JSON for each:
//
//     run REQUEST          a RunPodSandboxRequest, serialized, in hexadecimal: {"pod": ID, "ms": N}
//     start POD REQUEST    likewise a CreateContainerRequest, whose pod is filled in; its container
//                          is started: {"ms": of both calls}
//     remove POD           {"ms": of stopping and removing}
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "runtime.grpc.pb.h"

namespace usetl::bench {
namespace {

namespace v1 = ::runtime::v1;
using Clock = std::chrono::steady_clock;
using Stub = v1::RuntimeService::Stub;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "pod_lives: %s\n", what.c_str());
  std::exit(1);
}

double MsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

template <typename Message>
Message FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  Message message;
  if (!message.ParseFromString(bytes)) Die("a request cannot be read");
  return message;
}

template <typename Request, typename Response>
Response Call(Stub* stub,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) Die(status.error_message());
  return response;
}

nlohmann::json Run(Stub* stub, const v1::RunPodSandboxRequest& run) {
  const auto begin = Clock::now();
  const std::string pod = Call(stub, &Stub::RunPodSandbox, run).pod_sandbox_id();
  return {{"ms", MsSince(begin)}, {"pod", pod}};
}

nlohmann::json Start(Stub* stub, const std::string& pod, v1::CreateContainerRequest create) {
  create.set_pod_sandbox_id(pod);
  const auto begin = Clock::now();
  v1::StartContainerRequest start;
  start.set_container_id(Call(stub, &Stub::CreateContainer, create).container_id());
  Call(stub, &Stub::StartContainer, start);
  return {{"ms", MsSince(begin)}};
}

nlohmann::json Remove(Stub* stub, const std::string& pod) {
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod);
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod);
  const auto begin = Clock::now();
  Call(stub, &Stub::StopPodSandbox, stop);
  Call(stub, &Stub::RemovePodSandbox, remove);
  return {{"ms", MsSince(begin)}};
}

int Main(int argc, char** argv) {
  if (argc != 2) Die("usage: pod_lives SOCKET");
  const std::unique_ptr<Stub> stub = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix://" + std::string(argv[1]), grpc::InsecureChannelCredentials()));
  Call(stub.get(), &Stub::Version, v1::VersionRequest());  // connects
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, first, second;
    words >> command >> first >> second;
    if (command == "run") {
      std::cout << Run(stub.get(), FromHex<v1::RunPodSandboxRequest>(first));
    } else if (command == "start") {
      std::cout << Start(stub.get(), first, FromHex<v1::CreateContainerRequest>(second));
    } else if (command == "remove") {
      std::cout << Remove(stub.get(), first);
    } else {
      Die("unknown command: " + command);
    }
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace usetl::bench

int main(int argc, char** argv) { return usetl::bench::Main(argc, argv); }
