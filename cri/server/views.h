// views.h: records as the messages that clients see, and which of them a filter lets through.
#ifndef USETL_CRI_SERVER_VIEWS_H_
#define USETL_CRI_SERVER_VIEWS_H_

#include <google/protobuf/map.h>
#include <grpcpp/support/status.h>

#include <string>

#include "cri/store/store.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

// The gRPC code that kubelet, crictl and critest expect for an errno.
grpc::Status ToGrpc(const Status& status);
// Of a look for an image: ENOENT is that one, so NOT_FOUND. kubelet takes the code for the pod's or
// container's own end wherever it asks for these.
grpc::Status ImageToGrpc(const Status& status);
grpc::Status NotFound(std::string_view kind, std::string_view id);

v1::PodSandboxStatus StatusOf(const SandboxRecord& record);
v1::ContainerStatus StatusOf(const ContainerRecord& record);

using Labels = google::protobuf::Map<std::string, std::string>;
// All labels of `selector` are there with these values.
bool Selects(const Labels& selector, const Labels& labels);
bool Selects(const v1::PodSandboxFilter& filter, const SandboxRecord& record);
bool Selects(const v1::ContainerFilter& filter, const ContainerRecord& record);

// What CRI calls the pod or the container by; unique among those that exist.
std::string SandboxName(const v1::PodSandboxMetadata& metadata);
std::string ContainerName(const v1::ContainerMetadata& metadata, const std::string& sandbox_id);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_VIEWS_H_
