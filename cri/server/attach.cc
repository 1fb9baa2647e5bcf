#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::Attach(grpc::ServerContext*, const v1::AttachRequest* request,
                                    v1::AttachResponse* response) {
  streaming::StreamRequest stream;
  stream.kind = streaming::StreamRequest::Kind::kAttach;
  stream.process = {{}, request->tty(), request->stdin(), request->stdout(), request->stderr()};
  if (grpc::Status status = CheckStreams(stream.process); !status.ok()) return status;
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
