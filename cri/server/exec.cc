#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::Exec(grpc::ServerContext*, const v1::ExecRequest* request,
                                  v1::ExecResponse* response) {
  streaming::StreamRequest stream;
  stream.kind = streaming::StreamRequest::Kind::kExec;
  stream.process = {{request->cmd().begin(), request->cmd().end()},
                    request->tty(),
                    request->stdin(),
                    request->stdout(),
                    request->stderr()};
  if (grpc::Status status = CheckStreams(stream.process); !status.ok()) return status;
  if (request->cmd().empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "cmd is missing");
  }
  std::shared_ptr<const ContainerRecord> container;
  grpc::Status status = FindRunning(node_, request->container_id(), &container);
  if (!status.ok()) return status;
  stream.id = container->id();
  Result<std::string> url = streams_.Expect(std::move(stream));
  if (!url.ok()) return ToGrpc(url.status());
  response->set_url(*url);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
