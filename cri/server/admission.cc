#include "cri/server/admission.h"

namespace usetl::cri {
namespace {

struct Rule {
  bool refused;
  const char* message;
};

Status Check(std::initializer_list<Rule> rules) {
  for (const Rule& rule : rules) {
    if (rule.refused) return Status(EINVAL, std::string("usetl: ") + rule.message);
  }
  return Status();
}

Status CheckNamespaces(const v1::NamespaceOption& options) {
  return Check({
      {options.network() == v1::NODE,
       "hostNetwork is not supported: a function has no network device, only its pod's gateway"},
      {options.pid() == v1::NODE, "hostPID is not supported: a function sees no host process"},
      {options.ipc() == v1::NODE, "hostIPC is not supported: a function shares no host memory"},
      {options.pid() == v1::TARGET,
       "ephemeral containers are not supported: nothing can join a micro-VM's process"},
      {options.has_userns_options() && options.userns_options().mode() == v1::POD,
       "hostUsers: false is not supported: a function's users exist in its micro-VM only"},
  });
}

Status CheckProfiles(const v1::SecurityProfile& seccomp, const v1::SecurityProfile& apparmor) {
  return Check({
      {seccomp.profile_type() == v1::SecurityProfile::Localhost,
       "a Localhost seccomp profile is not supported: a function makes no system call of the host"},
      {apparmor.profile_type() == v1::SecurityProfile::Localhost,
       "a Localhost AppArmor profile is not supported: a function is no process of the host"},
  });
}

Status CheckMount(const v1::Mount& mount) {
  const std::string where = "mount " + mount.container_path() + ": ";
  const auto refuse = [&](const char* why) { return Status(EINVAL, "usetl: " + where + why); };
  if (mount.container_path().empty() || mount.container_path()[0] != '/') {
    return refuse("the path in the container has to be absolute");
  }
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return refuse("mount propagation is not supported: a function has a file tree of its own");
  }
  if (mount.recursive_read_only()) return refuse("recursive read-only mounts are not supported");
  if (mount.has_image() && !mount.image().image().empty()) {
    return refuse("image volumes are not supported");
  }
  if (mount.host_path().empty()) return refuse("a path on the host is missing");
  if (mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0) {
    return refuse("id-mapped mounts are not supported");
  }
  return Status();
}

}  // namespace

Status AdmitSandbox(const v1::PodSandboxConfig& config, const std::string& runtime_handler) {
  if (!runtime_handler.empty() && runtime_handler != "usetl") {
    return Status(EINVAL,
                  "usetl: no runtime handler \"" + runtime_handler + "\"; this node has \"usetl\"");
  }
  USETL_RETURN_IF_ERROR(Check({
      {!config.has_metadata() || config.metadata().name().empty(), "the pod has no name"},
      {!config.linux().sysctls().empty(),
       "sysctls are not supported: a function has no kernel of the host to set up"},
  }));
  const v1::LinuxSandboxSecurityContext& security = config.linux().security_context();
  USETL_RETURN_IF_ERROR(CheckNamespaces(security.namespace_options()));
  return CheckProfiles(security.seccomp(), security.apparmor());
}

Status AdmitContainer(const v1::ContainerConfig& config) {
  const v1::LinuxContainerSecurityContext& security = config.linux().security_context();
  USETL_RETURN_IF_ERROR(CheckNamespaces(security.namespace_options()));
  USETL_RETURN_IF_ERROR(CheckProfiles(security.seccomp(), security.apparmor()));
  USETL_RETURN_IF_ERROR(Check({
      {!config.has_metadata() || config.metadata().name().empty(), "the container has no name"},
      {config.image().image().empty(), "the container has no image"},
      {security.privileged(),
       "privileged containers are not supported: a function can be given no device and no "
       "capability of the host"},
      {security.capabilities().add_capabilities_size() > 0,
       "adding capabilities is not supported: a function makes no system call of the host"},
      {security.has_run_as_group() && !security.has_run_as_user() &&
           security.run_as_username().empty(),
       "runAsGroup wants runAsUser beside it"},
      {config.devices_size() > 0 || config.cdi_devices_size() > 0,
       "devices are not supported: a micro-VM has none"},
      {config.tty(), "tty is not supported for a container: a function has no terminal"},
      {config.stdin(), "stdin is not supported for a container: events come over HTTP"},
  }));
  for (const v1::Mount& mount : config.mounts()) USETL_RETURN_IF_ERROR(CheckMount(mount));
  return Status();
}

}  // namespace usetl::cri
