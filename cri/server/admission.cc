#include "cri/server/admission.h"

#include <algorithm>
#include <filesystem>

#include "cri/container/annotations.h"
#include "cri/container/image_volume.h"
#include "cri/container/pod_files.h"
#include "cri/network/sysctls.h"

namespace usetl::cri {
namespace {

struct Rule {
  bool refused;
  const char* reason;
  const char* message;
};

std::optional<Refusal> Check(std::initializer_list<Rule> rules) {
  for (const Rule& rule : rules) {
    if (rule.refused) return Refusal{rule.reason, std::string("usetl: ") + rule.message};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckNamespaces(const v1::NamespaceOption& options) {
  return Check({
      {options.network() == v1::NODE, "host_network",
       "hostNetwork is not supported: a function has no network device, only its pod's gateway"},
      {options.pid() == v1::NODE, "host_pid",
       "hostPID is not supported: a function sees no host process"},
      {options.ipc() == v1::NODE, "host_ipc",
       "hostIPC is not supported: a function shares no host memory"},
      {options.pid() == v1::TARGET, "target_pid",
       "ephemeral containers are not supported: nothing can join a micro-VM's process"},
      {options.has_userns_options() && options.userns_options().mode() == v1::POD, "user_namespace",
       "hostUsers: false is not supported: a function's users exist in its micro-VM only"},
  });
}

std::optional<Refusal> RefuseUnknown(const std::string& annotation) {
  std::string text = "usetl: no annotation \"" + annotation + "\" is known; those that are:";
  const char* separator = " ";
  for (const char* known : kAnnotations) {
    text += separator + std::string(known);
    separator = ", ";
  }
  return Refusal{"annotation", text};
}

// Annotations that ask for more than there is, or for what nobody knows; to run all the same would
// be less safe than asked.
std::optional<Refusal> CheckAnnotations(
    const google::protobuf::Map<std::string, std::string>& all) {
  for (const auto& [name, value] : all) {
    if (!name.starts_with(kAnnotationPrefix)) continue;
    if (std::ranges::find(kAnnotations, name) == std::end(kAnnotations)) return RefuseUnknown(name);
  }
  const auto asks = [&](const char* name, const char* for_less) {
    const auto found = all.find(name);
    return found != all.end() && found->second != for_less;
  };
  return Check({
      {asks(kIsolationKey, "container"), "isolation",
       "usetl.dev/isolation is not supported: a micro-VM is brought back when its container ends, "
       "not between requests"},
      {asks(kExecKey, "clone"), "exec",
       "usetl.dev/exec is not supported: programs beside a function run in a clone of its files"},
  });
}

// Clients of before the profiles' own fields set the deprecated ones.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

bool IsLocalhost(const std::string& profile) { return profile.starts_with("localhost/"); }

// Of a pod or of a container.
template <typename SecurityContext>
std::optional<Refusal> CheckProfiles(const SecurityContext& security) {
  std::string apparmor;
  if constexpr (requires { security.apparmor_profile(); }) apparmor = security.apparmor_profile();
  constexpr auto kLocalhost = v1::SecurityProfile::Localhost;
  return Check({
      {security.seccomp().profile_type() == kLocalhost ||
           IsLocalhost(security.seccomp_profile_path()),
       "seccomp",
       "a Localhost seccomp profile is not supported: a function makes no system call of the host"},
      {security.apparmor().profile_type() == kLocalhost || IsLocalhost(apparmor), "apparmor",
       "a Localhost AppArmor profile is not supported: a function is no process of the host"},
  });
}

#pragma GCC diagnostic pop

// Of a path in an image, as it is written; links are for later.
bool StaysBelow(const std::string& path) {
  return !path.starts_with('/') && path.find('\0') == path.npos &&
         ("/" + path + "/").find("/../") == std::string::npos;
}

// Where the guest's kernel and the agent put bodies and large answers.
bool IsAgents(const std::string& path) {
  const std::string normal = std::filesystem::path(path + "/").lexically_normal();
  return normal.starts_with("/run/usetl/");
}

// Nothing of the host is in /proc and /sys of a micro-VM.
std::optional<Refusal> CheckHidden(const v1::LinuxContainerSecurityContext& security) {
  for (const auto* paths : {&security.masked_paths(), &security.readonly_paths()}) {
    for (const std::string& path : *paths) {
      const std::string normal = std::filesystem::path(path + "/").lexically_normal();
      if (normal.starts_with("/proc/") || normal.starts_with("/sys/")) continue;
      return Refusal{"hidden_path", "usetl: " + path +
                                        ": masked and read-only paths are supported in /proc and "
                                        "/sys; mount something read-only there"};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> CheckMount(const v1::Mount& mount) {
  const std::string where = "mount " + mount.container_path() + ": ";
  const auto refuse = [&](const std::string& why) {
    return Refusal{"mount", "usetl: " + where + why};
  };
  if (mount.container_path().empty() || mount.container_path()[0] != '/') {
    return refuse("the path in the container has to be absolute");
  }
  if (IsAgents(mount.container_path())) {
    return refuse("/run/usetl is where the runtime keeps large answers; mount elsewhere");
  }
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return refuse("mount propagation is not supported: a function has a file tree of its own");
  }
  if (mount.recursive_read_only()) return refuse("recursive read-only mounts are not supported");
  if (IsImageVolume(mount)) {
    if (!mount.readonly()) return refuse("an image volume has to be read-only");
    if (!mount.host_path().empty()) return refuse("an image volume has no path on the host");
    if (!StaysBelow(mount.image_sub_path())) {
      return refuse("the path in the image has to be relative and without \"..\"");
    }
  } else if (mount.host_path().empty()) {
    return refuse("a path on the host is missing");
  }
  if (mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0) {
    return refuse("id-mapped mounts are not supported");
  }
  for (const std::string& option : mount.mount_options()) {
    // What every mount has, for a function has neither devices nor other users to become.
    if (option == "nodev" || option == "nosuid") continue;
    return refuse("the mount option \"" + option + "\" is not supported: files are copied in");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> AdmitSandbox(const v1::PodSandboxConfig& config,
                                    const std::string& runtime_handler) {
  if (!runtime_handler.empty() && runtime_handler != "usetl") {
    return Refusal{"runtime_handler", "usetl: no runtime handler \"" + runtime_handler +
                                          "\"; this node has \"usetl\""};
  }
  if (auto refused = Check({
          {!config.has_metadata() || config.metadata().name().empty(), "name",
           "the pod has no name"},
          {config.metadata().namespace_().empty(), "name", "the pod has no namespace"},
          {config.metadata().uid().empty(), "name", "the pod has no uid"},
      }))
    return refused;
  if (auto refused = CheckAnnotations(config.annotations())) return refused;
  for (const auto& [name, value] : config.linux().sysctls()) {
    if (NetworkSysctlFile(name).has_value()) continue;
    return Refusal{"sysctls",
                   "usetl: the sysctl \"" + name +
                       "\" is not supported: a pod has a network of its own (net.*), but "
                       "no other part of the host's kernel"};
  }
  const v1::LinuxSandboxSecurityContext& security = config.linux().security_context();
  if (auto refused = CheckNamespaces(security.namespace_options())) return refused;
  if (auto refused = CheckProfiles(security)) return refused;
  if (auto refused = AdmitCpusets(config.linux().resources())) return refused;
  if (const Status files = PodFiles(config).status(); !files.ok()) {
    return Refusal{"dns", files.message()};
  }
  return std::nullopt;
}

std::optional<Refusal> AdmitContainer(const v1::ContainerConfig& config) {
  if (auto refused = CheckAnnotations(config.annotations())) return refused;
  for (const char* const key : {kAllowKey, kHandlerKey, kRuntimeKey, kTimeoutKey}) {
    if (!config.annotations().contains(key)) continue;
    return Refusal{"annotation",
                   std::string("usetl: the annotation ") + key +
                       " is one of pods, of a container it means nothing; give it to the pod"};
  }
  const v1::LinuxContainerSecurityContext& security = config.linux().security_context();
  if (auto refused = CheckNamespaces(security.namespace_options())) return refused;
  if (auto refused = CheckProfiles(security)) return refused;
  if (auto refused = CheckHidden(security)) return refused;
  if (auto refused = Check({
          {!config.has_metadata() || config.metadata().name().empty(), "name",
           "the container has no name"},
          {config.image().image().empty(), "image", "the container has no image"},
          {security.privileged(), "privileged",
           "privileged containers are not supported: a function can be given no device and no "
           "capability of the host"},
          {security.capabilities().add_capabilities_size() > 0 ||
               security.capabilities().add_ambient_capabilities_size() > 0,
           "capabilities",
           "adding capabilities is not supported: a function makes no system call of the host"},
          {security.has_run_as_group() && !security.has_run_as_user() &&
               security.run_as_username().empty(),
           "run_as_group", "runAsGroup wants runAsUser beside it"},
          {config.devices_size() > 0 || config.cdi_devices_size() > 0, "devices",
           "devices are not supported: a micro-VM has none"},
          {config.tty(), "tty", "tty is not supported for a container: a function has no terminal"},
          {config.stdin(), "stdin",
           "stdin is not supported for a container: events come over HTTP"},
      }))
    return refused;
  for (const v1::Mount& mount : config.mounts()) {
    if (auto refused = CheckMount(mount)) return refused;
  }
  return AdmitResources(config.linux().resources());
}

}  // namespace usetl::cri
