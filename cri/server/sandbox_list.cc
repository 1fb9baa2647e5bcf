#include "cri/server/raw_list.h"
#include "cri/server/runtime_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status RuntimeService::ListPodSandboxRaw(RawCall* call) {
  return AnswerList<v1::ListPodSandboxRequest>(call, node_.store->StoredSandboxes());
}

grpc::Status RuntimeService::StreamPodSandboxes(
    grpc::ServerContext*, const v1::StreamPodSandboxesRequest* request,
    grpc::ServerWriter<v1::StreamPodSandboxesResponse>* writer) {
  for (const auto& record : node_.store->Sandboxes()) {
    if (!Selects(request->filter(), *record)) continue;
    v1::StreamPodSandboxesResponse response;
    *response.add_pod_sandboxes() = ListItem(*record);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
