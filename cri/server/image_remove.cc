#include "cri/server/image_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status ImageService::RemoveImage(grpc::ServerContext*, const v1::RemoveImageRequest* request,
                                       v1::RemoveImageResponse*) {
  const usetl::Status removed = node_.images->Remove(request->image().image());
  if (removed.ok()) node_.CollectRuntimes();
  return ToGrpc(removed);
}

}  // namespace usetl::cri
