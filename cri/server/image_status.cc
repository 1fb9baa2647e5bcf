#include <nlohmann/json.hpp>

#include "cri/server/image_service.h"
#include "cri/server/image_views.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status ImageService::ImageStatus(grpc::ServerContext*, const v1::ImageStatusRequest* request,
                                       v1::ImageStatusResponse* response) {
  Result<image::ImagePtr> image = node_.images->Find(request->image().image());
  if (!image.ok()) {
    // Not there is an answer, not an error.
    return image.status().code() == ENOENT ? grpc::Status::OK : ToGrpc(image.status());
  }
  *response->mutable_image() = ViewOf(**image);
  if (request->verbose()) {
    const nlohmann::json info = {
        {"chainID", (*image)->chain_id},
        {"imageSpec", nlohmann::json::parse((*image)->config.json, nullptr, false)}};
    (*response->mutable_info())["info"] =
        info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
