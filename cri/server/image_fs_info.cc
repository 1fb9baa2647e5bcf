#include "cri/server/image_service.h"
#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status ImageService::ImageFsInfo(grpc::ServerContext*, const v1::ImageFsInfoRequest*,
                                       v1::ImageFsInfoResponse* response) {
  Result<image::FsUsage> usage = node_.images->FsInfo();
  if (!usage.ok()) return ToGrpc(usage.status());
  v1::FilesystemUsage view;
  view.set_timestamp(node_.store->NextTimestamp());
  view.mutable_fs_id()->set_mountpoint(usage->mountpoint);
  view.mutable_used_bytes()->set_value(usage->bytes);
  view.mutable_inodes_used()->set_value(usage->inodes);
  *response->add_image_filesystems() = view;
  *response->add_container_filesystems() = view;
  return grpc::Status::OK;
}

}  // namespace usetl::cri
