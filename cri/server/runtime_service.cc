#include "cri/server/runtime_service.h"

namespace usetl::cri {
namespace {

// The generated code numbers methods in the order of the proto.
int MethodNumber(const std::string& name) {
  return v1::ListPodSandboxRequest::descriptor()
      ->file()
      ->FindServiceByName("RuntimeService")
      ->FindMethodByName(name)
      ->index();
}

}  // namespace

// gRPC's own ways to take bytes are for asynchronous servers; a single such method and the calls of
// all others are only looked for by the threads of that one, which sleep 100 ms in every 1.1 s.
// A streamed method with one request and one answer is the same on the wire.
RuntimeService::RuntimeService(Node* node, streaming::Server* streams)
    : node_(*node), streams_(*streams) {
  MarkMethodStreamed(MethodNumber("ListPodSandbox"),
                     new RawHandler([this](grpc::ServerContext*, RawCall* call) {
                       return ListPodSandboxRaw(call);
                     }));
  MarkMethodStreamed(MethodNumber("ListContainers"),
                     new RawHandler([this](grpc::ServerContext*, RawCall* call) {
                       return ListContainersRaw(call);
                     }));
}

}  // namespace usetl::cri
