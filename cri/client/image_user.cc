#include "cri/client/image_user.h"

namespace usetl::cri {

Status ApplyImageUser(const v1::Image& image, PodManifest::Container* container) {
  v1::LinuxContainerSecurityContext& context =
      *container->config.mutable_linux()->mutable_security_context();
  if (context.has_run_as_user()) return Status();
  const std::string who = "container " + container->config.metadata().name();
  if (container->non_root && !image.username().empty()) {
    return Status(EPERM, who + " has runAsNonRoot and the image names its user \"" +
                             image.username() + "\", who may be root; set runAsUser");
  }
  if (container->non_root && image.uid().value() == 0) {
    return Status(EPERM, who + " has runAsNonRoot and the image would run as root; set runAsUser");
  }
  if (!context.has_run_as_group()) return Status();  // usetld asks the image, and for its group
  if (image.username().empty()) {
    context.mutable_run_as_user()->set_value(image.uid().value());
  } else {
    context.set_run_as_username(image.username());
  }
  return Status();
}

}  // namespace usetl::cri
