#include "cri/server/image_service.h"
#include "cri/server/image_views.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

// What the filter lets through. A name that is not there is no error.
Result<std::vector<image::ImagePtr>> Selected(Node& node, const v1::ImageFilter& filter) {
  Result<std::shared_ptr<const image::ImageList>> list = node.images->List();
  if (!list.ok()) return list.status();
  const std::string& name = filter.image().image();
  if (name.empty()) return (*list)->images;
  Result<image::ImagePtr> found = (*list)->Find(name);
  if (!found.ok()) return std::vector<image::ImagePtr>();
  return std::vector{*found};
}

}  // namespace

grpc::Status ImageService::ListImages(grpc::ServerContext*, const v1::ListImagesRequest* request,
                                      v1::ListImagesResponse* response) {
  Result<std::vector<image::ImagePtr>> images = Selected(node_, request->filter());
  if (!images.ok()) return ToGrpc(images.status());
  for (const image::ImagePtr& image : *images) *response->add_images() = ViewOf(*image);
  return grpc::Status::OK;
}

grpc::Status ImageService::StreamImages(grpc::ServerContext*,
                                        const v1::StreamImagesRequest* request,
                                        grpc::ServerWriter<v1::StreamImagesResponse>* writer) {
  Result<std::vector<image::ImagePtr>> images = Selected(node_, request->filter());
  if (!images.ok()) return ToGrpc(images.status());
  for (const image::ImagePtr& image : *images) {
    v1::StreamImagesResponse response;
    *response.add_images() = ViewOf(*image);
    if (!writer->Write(response)) break;  // the client left
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
