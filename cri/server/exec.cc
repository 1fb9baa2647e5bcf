#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"

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
  if (request->cmd().empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "cmd is missing");
  }
  return ExpectClient(node_, &streams_, request->container_id(), std::move(stream),
                      response->mutable_url());
}

}  // namespace usetl::cri
