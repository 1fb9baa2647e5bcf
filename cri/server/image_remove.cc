#include "cri/server/image_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status ImageService::RemoveImage(grpc::ServerContext*, const v1::RemoveImageRequest* request,
                                       v1::RemoveImageResponse*) {
  return ToGrpc(node_.images->Remove(request->image().image()));
}

}  // namespace usetl::cri
