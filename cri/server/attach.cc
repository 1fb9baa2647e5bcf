#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"

namespace usetl::cri {

grpc::Status RuntimeService::Attach(grpc::ServerContext*, const v1::AttachRequest* request,
                                    v1::AttachResponse* response) {
  streaming::StreamRequest stream;
  stream.kind = streaming::StreamRequest::Kind::kAttach;
  stream.process = {{}, request->tty(), request->stdin(), request->stdout(), request->stderr()};
  return ExpectClient(node_, &streams_, request->container_id(), std::move(stream),
                      response->mutable_url());
}

}  // namespace usetl::cri
