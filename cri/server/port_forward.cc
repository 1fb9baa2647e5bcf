#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::PortForward(grpc::ServerContext*,
                                         const v1::PortForwardRequest* request,
                                         v1::PortForwardResponse* response) {
  constexpr int kMostPorts = 64;  // a WebSocket client has two of 256 channels for each
  if (request->pod_sandbox_id().empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "pod_sandbox_id is missing");
  }
  if (request->port_size() > kMostPorts) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "more than " + std::to_string(kMostPorts) + " ports");
  }
  streaming::StreamRequest stream;
  stream.kind = streaming::StreamRequest::Kind::kPortForward;
  for (const int32_t port : request->port()) {
    if (port < 1 || port > UINT16_MAX) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::to_string(port) + " is no port");
    }
    stream.ports.push_back(static_cast<uint16_t>(port));
  }
  const std::shared_ptr<Sandbox> sandbox = node_.store->FindSandbox(request->pod_sandbox_id());
  if (sandbox == nullptr) return NotFound("pod sandbox", request->pod_sandbox_id());
  const std::shared_ptr<const SandboxRecord> record = sandbox->Get();
  if (record->state() != v1::SANDBOX_READY) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "the pod sandbox " + record->id() + " is not ready");
  }
  stream.id = record->id();
  Result<std::string> url = streams_.Expect(std::move(stream));
  if (!url.ok()) return ToGrpc(url.status());
  response->set_url(*url);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
