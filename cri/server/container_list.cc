#include "cri/server/raw_list.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::ListContainersRaw(RawCall* call) {
  return AnswerList<v1::ListContainersRequest>(call, node_.store->StoredContainers());
}

grpc::Status RuntimeService::StreamContainers(
    grpc::ServerContext*, const v1::StreamContainersRequest* request,
    grpc::ServerWriter<v1::StreamContainersResponse>* writer) {
  for (const auto& record : node_.store->Containers()) {
    if (!Selects(request->filter(), *record)) continue;
    v1::StreamContainersResponse response;
    *response.add_containers() = ListItem(*record);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
