// image_service.h: the CRI's ImageService on our own image store.
#ifndef USETL_CRI_SERVER_IMAGE_SERVICE_H_
#define USETL_CRI_SERVER_IMAGE_SERVICE_H_

#include "cri/server/node.h"
#include "runtime.grpc.pb.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

class ImageService final : public v1::ImageService::Service {
 public:
  // `node` must outlive this.
  explicit ImageService(Node* node) : node_(*node) {}

  grpc::Status ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* request,
                          v1::ListImagesResponse* response) override;
  grpc::Status StreamImages(grpc::ServerContext* context, const v1::StreamImagesRequest* request,
                            grpc::ServerWriter<v1::StreamImagesResponse>* writer) override;
  grpc::Status ImageStatus(grpc::ServerContext* context, const v1::ImageStatusRequest* request,
                           v1::ImageStatusResponse* response) override;
  grpc::Status PullImage(grpc::ServerContext* context, const v1::PullImageRequest* request,
                         v1::PullImageResponse* response) override;
  grpc::Status RemoveImage(grpc::ServerContext* context, const v1::RemoveImageRequest* request,
                           v1::RemoveImageResponse* response) override;
  grpc::Status ImageFsInfo(grpc::ServerContext* context, const v1::ImageFsInfoRequest* request,
                           v1::ImageFsInfoResponse* response) override;

 private:
  Node& node_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_IMAGE_SERVICE_H_
