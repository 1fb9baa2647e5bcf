#include "cri/server/views.h"

namespace usetl::cri {

grpc::Status ToGrpc(const Status& status) {
  const auto code = [&] {
    switch (status.code()) {
      case 0:
        return grpc::StatusCode::OK;
      case EINVAL:
      case E2BIG:
      case EBADMSG:
        return grpc::StatusCode::INVALID_ARGUMENT;
      case EEXIST:
        return grpc::StatusCode::ALREADY_EXISTS;
      case EADDRINUSE:
      case EBUSY:
      case ECHILD:
      case ENOENT:  // of something that the call's object needs: that one is there
      case ENOTDIR:
        return grpc::StatusCode::FAILED_PRECONDITION;
      case ENOSPC:
      case ENOMEM:
      case EAGAIN:
      case EMFILE:
      case ENFILE:
        return grpc::StatusCode::RESOURCE_EXHAUSTED;
      case ETIMEDOUT:
        return grpc::StatusCode::DEADLINE_EXCEEDED;
      case ECANCELED:
        return grpc::StatusCode::CANCELLED;
      case EHOSTUNREACH:
      case ECONNREFUSED:
      case ECONNRESET:
      case EINPROGRESS:
        return grpc::StatusCode::UNAVAILABLE;
      case EACCES:
        return grpc::StatusCode::PERMISSION_DENIED;
      case ENOTSUP:
        return grpc::StatusCode::UNIMPLEMENTED;
      default:
        return grpc::StatusCode::UNKNOWN;
    }
  }();
  return grpc::Status(code, status.message());
}

grpc::Status ImageToGrpc(const Status& status) {
  if (status.code() != ENOENT) return ToGrpc(status);
  return grpc::Status(grpc::StatusCode::NOT_FOUND, status.message());
}

grpc::Status NotFound(std::string_view kind, std::string_view id) {
  return grpc::Status(grpc::StatusCode::NOT_FOUND,
                      "no " + std::string(kind) + " \"" + std::string(id) + "\"");
}

v1::PodSandboxStatus StatusOf(const SandboxRecord& record) {
  v1::PodSandboxStatus status;
  status.set_id(record.id());
  *status.mutable_metadata() = record.config().metadata();
  status.set_state(record.state());
  status.set_created_at(record.created_at());
  v1::PodSandboxNetworkStatus& network = *status.mutable_network();
  for (int i = 0; i < record.addresses_size(); ++i) {
    if (i == 0) {
      network.set_ip(record.addresses(0));
    } else {
      network.add_additional_ips()->set_ip(record.addresses(i));
    }
  }
  // kubelet compares them with what it asked for, and makes the pod anew when they differ.
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      record.config().linux().security_context().namespace_options();
  *status.mutable_labels() = record.config().labels();
  *status.mutable_annotations() = record.config().annotations();
  status.set_runtime_handler(record.runtime_handler());
  return status;
}

v1::ContainerStatus StatusOf(const ContainerRecord& record) {
  const v1::ContainerConfig& config = record.config();
  v1::ContainerStatus status;
  status.set_id(record.id());
  *status.mutable_metadata() = config.metadata();
  status.set_state(record.state());
  status.set_created_at(record.created_at());
  status.set_started_at(record.started_at());
  status.set_finished_at(record.finished_at());
  status.set_exit_code(record.exit_code());
  *status.mutable_image() = config.image();
  if (!config.image().user_specified_image().empty()) {
    status.mutable_image()->set_image(config.image().user_specified_image());
  }
  status.set_image_ref(record.image_ref());
  status.set_image_id(record.image_id());
  status.set_reason(record.reason());
  status.set_message(record.message());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  status.set_log_path(record.log_path());
  *status.mutable_resources()->mutable_linux() = record.resources();
  if (record.has_user()) *status.mutable_user()->mutable_linux() = record.user();
  status.set_stop_signal(config.stop_signal());
  return status;
}

bool Selects(const Labels& selector, const Labels& labels) {
  for (const auto& [name, value] : selector) {
    const auto found = labels.find(name);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

bool Selects(const v1::PodSandboxFilter& filter, const SandboxRecord& record) {
  return record.id().starts_with(filter.id()) &&
         (!filter.has_state() || filter.state().state() == record.state()) &&
         Selects(filter.label_selector(), record.config().labels());
}

bool Selects(const v1::ContainerFilter& filter, const ContainerRecord& record) {
  return record.id().starts_with(filter.id()) &&
         record.sandbox_id().starts_with(filter.pod_sandbox_id()) &&
         (!filter.has_state() || filter.state().state() == record.state()) &&
         Selects(filter.label_selector(), record.config().labels());
}

std::string SandboxName(const v1::PodSandboxMetadata& metadata) {
  return metadata.name() + "_" + metadata.namespace_() + "_" + metadata.uid() + "_" +
         std::to_string(metadata.attempt());
}

std::string ContainerName(const v1::ContainerMetadata& metadata, const std::string& sandbox_id) {
  return metadata.name() + "_" + sandbox_id + "_" + std::to_string(metadata.attempt());
}

}  // namespace usetl::cri
