#include "cri/client/manifest.h"

#include <gtest/gtest.h>

namespace usetl::cri {
namespace {

constexpr char kHead[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n";

Result<PodManifest> Parse(const std::string& yaml) {
  return ParsePodManifest(yaml, {"uid-1", "/logs", "/volumes"});
}

std::string Cause(const std::string& spec) { return Parse(kHead + spec).status().message(); }

TEST(Manifest, Whole) {
  const auto parsed = Parse(R"(
kind: ConfigMap
---
apiVersion: v1
kind: Pod
metadata:
  name: shop
  namespace: team
  labels: {app: shop}
  annotations: {usetl.dev/allow: "http://10.0.0.1"}
spec:
  runtimeClassName: usetl
  restartPolicy: Never
  serviceAccountName: robot
  volumes:
    - {name: scratch, emptyDir: {}}
    - {name: data, hostPath: {path: /srv/data}}
  initContainers:
    - {name: first, image: a, command: [python3, f.py], args: ["1"]}
  containers:
    - name: web
      image: localhost/web:1
      imagePullPolicy: Never
      workingDir: /app
      env: [{name: A, value: "1"}, {name: B}]
      ports: [{containerPort: 8080, hostPort: 80, name: http}]
      resources: {requests: {cpu: 1}, limits: {memory: 64Mi, cpu: 500m}}
      volumeMounts:
        - {name: scratch, mountPath: /tmp/s}
        - {name: data, mountPath: /data, readOnly: true}
      livenessProbe: {httpGet: {port: 8080}}
)");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const v1::PodSandboxConfig& pod = parsed->sandbox;
  EXPECT_EQ(pod.metadata().name(), "shop");
  EXPECT_EQ(pod.metadata().namespace_(), "team");
  EXPECT_EQ(pod.metadata().uid(), "uid-1");
  EXPECT_EQ(pod.hostname(), "shop");
  EXPECT_EQ(pod.log_directory(), "/logs/team_shop_uid-1");
  EXPECT_EQ(pod.labels().at("app"), "shop");
  EXPECT_EQ(pod.annotations().at("usetl.dev/allow"), "http://10.0.0.1");
  ASSERT_EQ(pod.port_mappings_size(), 1);
  EXPECT_EQ(pod.port_mappings(0).host_port(), 80);
  EXPECT_EQ(parsed->directories, std::vector<std::string>{"/volumes/uid-1/scratch"});
  EXPECT_EQ(parsed->ignored, (std::vector<std::string>{"spec.containers[0].livenessProbe",
                                                       "spec.serviceAccountName"}));
  ASSERT_EQ(parsed->init_containers.size(), 1u);
  EXPECT_EQ(parsed->init_containers[0].config.command_size(), 2);
  EXPECT_EQ(parsed->init_containers[0].config.args(0), "1");
  ASSERT_EQ(parsed->containers.size(), 1u);
  const PodManifest::Container& web = parsed->containers[0];
  EXPECT_EQ(web.image, "localhost/web:1");
  EXPECT_EQ(web.pull_policy, "Never");
  EXPECT_EQ(web.config.envs(1).key(), "B");
  EXPECT_EQ(web.config.envs(1).value(), "");
  EXPECT_EQ(web.config.annotations().at("io.kubernetes.container.ports"),
            R"([{"containerPort":8080,"name":"http","protocol":"TCP"}])");
  EXPECT_EQ(web.config.linux().resources().memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(web.config.linux().resources().cpu_quota(), 50'000);
  EXPECT_EQ(web.config.mounts(0).host_path(), "/volumes/uid-1/scratch");
  EXPECT_FALSE(web.config.mounts(0).readonly());
  EXPECT_TRUE(web.config.mounts(1).readonly());
}

TEST(Manifest, SaysWhatIsWrong) {
  EXPECT_EQ(Parse("kind: Deployment").status().message(), "there is no document with kind: Pod");
  EXPECT_EQ(Parse("kind: Pod\napiVersion: v2").status().message(), "apiVersion: a Pod's is v1");
  EXPECT_TRUE(Parse("a: [").status().message().starts_with("no YAML: "));
  EXPECT_EQ(Cause("  x: 1"), "spec.containers: is empty");
  EXPECT_TRUE(Parse("apiVersion: v1\nkind: Pod").status().message().starts_with("metadata.name: "));
  EXPECT_EQ(Parse("apiVersion: v1\nkind: Pod\nmetadata: {name: p}").status().message(),
            "spec.containers: is empty");
  EXPECT_TRUE(Cause("  containers: [{name: .., image: b}]").starts_with("spec.containers[0].name"));
  EXPECT_EQ(Cause("  containers: 1"), "spec.containers: is no list");
  EXPECT_EQ(Cause("  containers: [1]"), "spec.containers[0]: is no mapping");
  EXPECT_EQ(Cause("  containers: [{name: a}]"), "spec.containers[0].image: is missing");
  EXPECT_EQ(Cause("  runtimeClassName: kata"),
            "spec.runtimeClassName: is \"kata\"; this node runs \"usetl\"");
  const std::string container = "  containers: [{name: a, image: b, ";
  EXPECT_EQ(Cause(container + "env: [{name: A, valueFrom: {}}]}]"),
            "spec.containers[0].env[0].valueFrom: wants a cluster; write the value out");
  EXPECT_EQ(Cause(container + "ports: [{containerPort: 70000}]}]"),
            "spec.containers[0].ports[0].containerPort: is no number from 0 to 65535");
  EXPECT_EQ(Cause(container + "ports: [{containerPort: 53, protocol: UDP}]}]"),
            "spec.containers[0].ports[0].protocol: only TCP is served");
  EXPECT_EQ(Cause(container + "volumeMounts: [{name: x, mountPath: /x}]}]"),
            "spec.containers[0].volumeMounts[0].name: names no volume of the pod");
  EXPECT_EQ(Cause(container + "resources: {limits: {memory: lots}}}]"),
            "spec.containers[0].resources.limits.memory: \"lots\" is no quantity such as 64Mi or "
            "500m");
  EXPECT_EQ(Cause("  volumes: [{name: ../x, emptyDir: {}}]"),
            "spec.volumes[0].name: names no volume");
  EXPECT_TRUE(Cause("  volumes: [{name: x, configMap: {name: y}}]").find("wants a cluster") !=
              std::string::npos);
  EXPECT_TRUE(Parse("apiVersion: v1\nkind: Pod\nmetadata: {name: ../p}\nspec: {}")
                  .status()
                  .message()
                  .starts_with("metadata.name: "));
}

TEST(Manifest, Quantities) {
  EXPECT_EQ(*ParseQuantity("1"), 1000);
  EXPECT_EQ(*ParseQuantity("500m"), 500);
  EXPECT_EQ(*ParseQuantity("1.5Ki"), 1'536'000);
  EXPECT_EQ(*ParseQuantity("2G"), 2'000'000'000'000);
  EXPECT_EQ(*ParseQuantity("1e3"), 1'000'000);
  for (const char* bad : {"", "m", "-1", "1 Mi", "1mi", "nan", "1e30"}) {
    EXPECT_FALSE(ParseQuantity(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace usetl::cri
