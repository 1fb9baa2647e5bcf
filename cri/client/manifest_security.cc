#include "cri/client/manifest_security.h"

#include <limits>

namespace usetl::cri {
namespace {

constexpr int64_t kMostId = std::numeric_limits<int32_t>::max();  // as Kubernetes has it
constexpr std::string_view kIdleOfBoth[] = {"windowsOptions"};
constexpr std::string_view kIdleOfPod[] = {"windowsOptions", "fsGroupChangePolicy",
                                           "seLinuxChangePolicy"};

void ParseProfile(Fields* security, const char* name, v1::SecurityProfile* profile) {
  if (!security->Has(name)) return;
  Fields fields(security->Get(name), security->Path(name), security->leftovers());
  static constexpr std::string_view kTypes[] = {"", "RuntimeDefault", "Unconfined", "Localhost"};
  static constexpr v1::SecurityProfile::ProfileType kProfiles[] = {
      v1::SecurityProfile::RuntimeDefault, v1::SecurityProfile::Unconfined,
      v1::SecurityProfile::Localhost};
  const int type = fields.Choice("type", kTypes);
  if (type == 0) Fail(fields.Path("type"), "is missing");
  profile->set_profile_type(kProfiles[type - 1]);
  profile->set_localhost_ref(fields.Text("localhostProfile"));
}

void ParseSelinux(Fields* security, v1::SELinuxOption* options) {
  if (!security->Has("seLinuxOptions")) return;
  Fields fields(security->Get("seLinuxOptions"), security->Path("seLinuxOptions"),
                security->leftovers());
  options->set_user(fields.Text("user"));
  options->set_role(fields.Text("role"));
  options->set_type(fields.Text("type"));
  options->set_level(fields.Text("level"));
}

// What pods and containers both may say. `context` has the pod's words, when it is a container's.
void ParseCommon(Fields* security, v1::LinuxContainerSecurityContext* context, bool* non_root) {
  if (security->Has("runAsUser")) {
    context->mutable_run_as_user()->set_value(security->Number("runAsUser", 0, kMostId));
  }
  if (security->Has("runAsGroup")) {
    context->mutable_run_as_group()->set_value(security->Number("runAsGroup", 0, kMostId));
  }
  *non_root = security->Flag("runAsNonRoot", *non_root);
  ParseProfile(security, "seccompProfile", context->mutable_seccomp());
  ParseProfile(security, "appArmorProfile", context->mutable_apparmor());
  ParseSelinux(security, context->mutable_selinux_options());
}

void ParseSysctls(Fields* security, v1::PodSandboxConfig* sandbox) {
  size_t index = 0;
  for (const YAML::Node& item : security->List("sysctls")) {
    Fields sysctl(item, At(security->Path("sysctls"), index++), security->leftovers());
    const std::string name = sysctl.Text("name");
    if (name.empty()) Fail(sysctl.Path("name"), "is missing");
    (*sandbox->mutable_linux()->mutable_sysctls())[name] = sysctl.Text("value");
  }
}

}  // namespace

PodSecurity ParsePodSecurity(Fields* spec, v1::PodSandboxConfig* sandbox) {
  PodSecurity pod;
  // The kubelet runs what names no profile without one.
  pod.context.mutable_seccomp()->set_profile_type(v1::SecurityProfile::Unconfined);
  Fields security(spec->Get("securityContext"), spec->Path("securityContext"), spec->leftovers(),
                  kIdleOfPod);
  ParseCommon(&security, &pod.context, &pod.non_root);
  if (security.Has("fsGroup")) {
    pod.fs_group = security.Number("fsGroup", 0, kMostId);
    pod.context.add_supplemental_groups(pod.fs_group);
  }
  size_t index = 0;
  for (const YAML::Node& group : security.List("supplementalGroups")) {
    int64_t id = -1;
    const std::string where = At(security.Path("supplementalGroups"), index++);
    if (!YAML::convert<int64_t>::decode(group, id) || id < 0 || id > kMostId) {
      Fail(where, "is no number from 0 to " + std::to_string(kMostId));
    }
    pod.context.add_supplemental_groups(id);
  }
  static constexpr std::string_view kPolicies[] = {"Merge", "Strict"};
  if (security.Choice("supplementalGroupsPolicy", kPolicies) != 0) {
    Fail(security.Path("supplementalGroupsPolicy"), "only Merge is supported");
  }
  ParseSysctls(&security, sandbox);
  v1::LinuxSandboxSecurityContext& context = *sandbox->mutable_linux()->mutable_security_context();
  const v1::LinuxContainerSecurityContext& said = pod.context;
  if (said.has_run_as_user()) *context.mutable_run_as_user() = said.run_as_user();
  if (said.has_run_as_group()) *context.mutable_run_as_group() = said.run_as_group();
  *context.mutable_supplemental_groups() = said.supplemental_groups();
  *context.mutable_seccomp() = said.seccomp();
  *context.mutable_apparmor() = said.apparmor();
  *context.mutable_selinux_options() = said.selinux_options();
  return pod;
}

void ParseContainerSecurity(Fields* fields, const PodSecurity& pod, v1::PodSandboxConfig* sandbox,
                            PodManifest::Container* container) {
  v1::LinuxContainerSecurityContext& context =
      *container->config.mutable_linux()->mutable_security_context();
  context = pod.context;
  container->non_root = pod.non_root;
  Fields security(fields->Get("securityContext"), fields->Path("securityContext"),
                  fields->leftovers(), kIdleOfBoth);
  ParseCommon(&security, &context, &container->non_root);
  if (container->non_root && context.has_run_as_user() && context.run_as_user().value() == 0) {
    Fail(security.Path("runAsUser"), "is 0, which breaks runAsNonRoot");
  }
  context.set_readonly_rootfs(security.Flag("readOnlyRootFilesystem"));
  context.set_no_new_privs(!security.Flag("allowPrivilegeEscalation", true));
  if (security.Flag("privileged")) {
    context.set_privileged(true);
    sandbox->mutable_linux()->mutable_security_context()->set_privileged(true);
  }
  // A function's /proc has nothing to mask.
  static constexpr std::string_view kProcMounts[] = {"Default", "Unmasked"};
  security.Choice("procMount", kProcMounts);
  if (!security.Has("capabilities")) return;
  Fields capabilities(security.Get("capabilities"), security.Path("capabilities"),
                      security.leftovers());
  for (const std::string& name : capabilities.Texts("add")) {
    context.mutable_capabilities()->add_add_capabilities(name);
  }
  for (const std::string& name : capabilities.Texts("drop")) {
    context.mutable_capabilities()->add_drop_capabilities(name);
  }
}

}  // namespace usetl::cri
