// Users, groups and privileges of a manifest.
#include <gtest/gtest.h>

#include "cri/client/image_user.h"
#include "cri/client/manifest.h"

namespace usetl::cri {
namespace {

Result<PodManifest> Parse(const std::string& pod, const std::string& container) {
  return ParsePodManifest(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  securityContext: {" + pod +
          "}\n  containers: [{name: a, image: b, securityContext: {" + container + "}}]",
      {"uid-1", "/logs", "/volumes"});
}

using Context = v1::LinuxContainerSecurityContext;

TEST(ManifestSecurity, ContainersHaveWhatTheirPodSays) {
  const auto parsed = Parse(
      "runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000, 5000], "
      "runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, "
      "sysctls: [{name: net.core.somaxconn, value: \"64\"}]",
      "");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_TRUE(parsed->ignored.empty());
  EXPECT_EQ(parsed->fs_group, 3000);
  const Context& context = parsed->containers[0].config.linux().security_context();
  EXPECT_EQ(context.run_as_user().value(), 1000);
  EXPECT_EQ(context.run_as_group().value(), 2000);
  EXPECT_EQ(std::vector<int64_t>(context.supplemental_groups().begin(),
                                 context.supplemental_groups().end()),
            (std::vector<int64_t>{3000, 4000, 5000}));
  EXPECT_EQ(context.seccomp().profile_type(), v1::SecurityProfile::RuntimeDefault);
  EXPECT_TRUE(parsed->containers[0].non_root);
  const auto& sandbox = parsed->sandbox.linux();
  EXPECT_EQ(sandbox.security_context().run_as_user().value(), 1000);
  EXPECT_EQ(sandbox.security_context().supplemental_groups_size(), 3);
  EXPECT_EQ(sandbox.sysctls().at("net.core.somaxconn"), "64");
}

TEST(ManifestSecurity, ContainersSayOtherwise) {
  const auto parsed = Parse(
      "runAsUser: 0, runAsNonRoot: false",
      "runAsUser: 7, runAsNonRoot: true, readOnlyRootFilesystem: true, privileged: true, "
      "allowPrivilegeEscalation: false, procMount: Default, capabilities: {add: [A], drop: [ALL]}, "
      "seccompProfile: {type: Localhost, localhostProfile: x.json}");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const Context& context = parsed->containers[0].config.linux().security_context();
  EXPECT_EQ(context.run_as_user().value(), 7);
  EXPECT_TRUE(parsed->containers[0].non_root);
  EXPECT_TRUE(context.readonly_rootfs());
  EXPECT_TRUE(context.no_new_privs());
  EXPECT_TRUE(context.privileged());
  EXPECT_TRUE(parsed->sandbox.linux().security_context().privileged());
  EXPECT_EQ(context.capabilities().add_capabilities(0), "A");
  EXPECT_EQ(context.capabilities().drop_capabilities(0), "ALL");
  EXPECT_EQ(context.seccomp().profile_type(), v1::SecurityProfile::Localhost);
  EXPECT_EQ(context.seccomp().localhost_ref(), "x.json");
}

TEST(ManifestSecurity, SaysWhatIsWrong) {
  EXPECT_EQ(Parse("runAsNonRoot: true", "runAsUser: 0").status().message(),
            "spec.containers[0].securityContext.runAsUser: is 0, which breaks runAsNonRoot");
  EXPECT_EQ(Parse("runAsUser: -1", "").status().message(),
            "spec.securityContext.runAsUser: is no number from 0 to 2147483647");
  EXPECT_EQ(Parse("supplementalGroups: [x]", "").status().message(),
            "spec.securityContext.supplementalGroups[0]: is no number from 0 to 2147483647");
  EXPECT_EQ(Parse("supplementalGroupsPolicy: Strict", "").status().message(),
            "spec.securityContext.supplementalGroupsPolicy: only Merge is supported");
  EXPECT_EQ(Parse("", "seccompProfile: {type: Some}").status().message(),
            "spec.containers[0].securityContext.seccompProfile.type: is none of RuntimeDefault, "
            "Unconfined, Localhost");
  // A pod's field, not a container's.
  EXPECT_EQ(Parse("", "fsGroup: 1").status().message(),
            "spec.containers[0].securityContext.fsGroup is no field of a pod");
}

TEST(ManifestSecurity, RunAsNonRootLooksAtTheImage) {
  v1::Image root, number, name;
  root.mutable_uid()->set_value(0);
  number.mutable_uid()->set_value(5);
  name.set_username("web");
  const auto apply = [](const v1::Image& image, const std::string& context) {
    auto parsed = Parse(context, "");
    return ApplyImageUser(image, &parsed->containers[0]).message();
  };
  EXPECT_EQ(apply(root, "runAsNonRoot: true"),
            "container a has runAsNonRoot and the image would run as root; set runAsUser");
  EXPECT_EQ(apply(name, "runAsNonRoot: true"),
            "container a has runAsNonRoot and the image names its user \"web\", who may be root; "
            "set runAsUser");
  EXPECT_EQ(apply(number, "runAsNonRoot: true"), "");
  EXPECT_EQ(apply(root, "runAsNonRoot: true, runAsUser: 5"), "");
  EXPECT_EQ(apply(root, ""), "");
}

TEST(ManifestSecurity, RunAsGroupHasTheImagesUserBesideIt) {
  v1::Image number;
  number.mutable_uid()->set_value(5);
  auto parsed = Parse("runAsGroup: 6", "");
  ASSERT_TRUE(ApplyImageUser(number, &parsed->containers[0]).ok());
  const Context& context = parsed->containers[0].config.linux().security_context();
  EXPECT_EQ(context.run_as_user().value(), 5);
  EXPECT_EQ(context.run_as_group().value(), 6);
}

}  // namespace
}  // namespace usetl::cri
