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
    - {name: data, hostPath: {path: /srv/data, type: DirectoryOrCreate}}
  initContainers:
    - {name: first, image: a, command: [python3, f.py], args: ["1"]}
  containers:
    - name: web
      image: localhost/web:1
      imagePullPolicy: Never
      workingDir: /app
      env: [{name: A, value: "1"}, {name: B}]
      ports: [{containerPort: 8080, hostPort: 80, name: http}]
      resources: {requests: {cpu: 1}, limits: {memory: 64Mi, cpu: 500m, x.com/gpu: 1}}
      volumeMounts:
        - {name: scratch, mountPath: /tmp/s}
        - {name: data, mountPath: /data, readOnly: true, mountPropagation: HostToContainer}
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
  EXPECT_EQ(parsed->grace_seconds, 30);
  EXPECT_EQ(Parse(std::string(kHead) +
                  "  terminationGracePeriodSeconds: 2\n  containers: [{name: a, image: a}]")
                ->grace_seconds,
            2);
  EXPECT_EQ(parsed->directories, std::vector<std::string>{"/volumes/uid-1/scratch"});
  ASSERT_EQ(parsed->host_paths.size(), 1u);
  EXPECT_EQ(parsed->host_paths[0].path, "/srv/data");
  EXPECT_EQ(parsed->host_paths[0].type, PodManifest::HostPath::Type::kDirectoryOrCreate);
  EXPECT_EQ(parsed->ignored, (std::vector<std::string>{
                                 "spec.containers[0].resources.limits.x.com/gpu",
                                 "spec.containers[0].livenessProbe", "spec.serviceAccountName"}));
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
  EXPECT_EQ(web.config.mounts(0).propagation(), v1::PROPAGATION_PRIVATE);
  EXPECT_EQ(web.config.mounts(1).propagation(), v1::PROPAGATION_HOST_TO_CONTAINER);
}

TEST(Manifest, SaysWhatIsWrong) {
  EXPECT_EQ(Parse("kind: Deployment\n---\n1\n---\nkind: Service").status().message(),
            "there is no document with kind: Pod; there is: Deployment, Service");
  EXPECT_EQ(Parse("a: b").status().message(), "there is no document with kind: Pod");
  EXPECT_EQ(Parse("kind: Pod\n---\nkind: Pod").status().message(),
            "there are several Pods; give each a file of its own");
  EXPECT_EQ(Parse("kind: Pod\napiVersion: v2").status().message(), "apiVersion: a Pod's is v1");
  EXPECT_TRUE(Parse("a: [").status().message().starts_with("no YAML: "));
  EXPECT_EQ(Cause("  containers: []"), "spec.containers: is empty");
  EXPECT_TRUE(Parse("apiVersion: v1\nkind: Pod").status().message().starts_with("metadata.name: "));
  EXPECT_EQ(Parse("apiVersion: v1\nkind: Pod\nmetdata: {name: p}").status().message(),
            "metdata is no field of a pod");
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
  EXPECT_EQ(Cause("  volumes: [{name: x, hostPath: {path: /x, type: Folder}}]"),
            "spec.volumes[0].hostPath.type: is none of Directory, DirectoryOrCreate, File, "
            "FileOrCreate");
  EXPECT_EQ(Cause("  volumes: [{name: x, hostPath: {path: /x, type: Socket}}]"),
            "spec.volumes[0].hostPath.type: a function can be given files and directories only");
  EXPECT_TRUE(Cause("  volumes: [{name: x, configMap: {name: y}}]").find("wants a cluster") !=
              std::string::npos);
  EXPECT_TRUE(Parse("apiVersion: v1\nkind: Pod\nmetadata: {name: ../p}\nspec: {}")
                  .status()
                  .message()
                  .starts_with("metadata.name: "));
}

TEST(Manifest, RefusesFieldsThatNoPodHas) {
  const std::string container = "  containers: [{name: a, image: b";
  EXPECT_EQ(Cause("  containers: [{nam: a, image: b}]"),
            "spec.containers[0].nam is no field of a pod");
  EXPECT_EQ(Cause("  containers: [{name: a, imge: b}]"),
            "spec.containers[0].imge is no field of a pod");
  EXPECT_EQ(Cause(container + ", ports: [{port: 80}]}]"),
            "spec.containers[0].ports[0].port is no field of a pod");
  EXPECT_EQ(Cause(container + ", envv: []}]"), "spec.containers[0].envv is no field of a pod");
  // A field of the pod is none of a container.
  EXPECT_EQ(Cause(container + ", nodeSelector: {}}]"),
            "spec.containers[0].nodeSelector is no field of a pod");
  EXPECT_EQ(Cause(container + ", env: [{name: A, val: x}]}]"),
            "spec.containers[0].env[0].val is no field of a pod");
  EXPECT_EQ(Cause(container + ", resources: {limits: {mem: 1}}}]"),
            "spec.containers[0].resources.limits.mem is no field of a pod");
  EXPECT_EQ(Cause(container + ", securityContext: {runAsUsr: 1}}]"),
            "spec.containers[0].securityContext.runAsUsr is no field of a pod");
  EXPECT_EQ(Cause(container + "}]\n  volumes: [{name: v, emptyDir: {size: 1}}]"),
            "spec.volumes[0].emptyDir.size is no field of a pod");
  EXPECT_EQ(Cause(container + "}]\n  retries: 1"), "spec.retries is no field of a pod");
  EXPECT_EQ(Cause(container + "}]\nspek: {}"), "spek is no field of a pod");
}

TEST(Manifest, WantsTextAsKubernetesDoes) {
  const auto of_value = [](const std::string& value) {
    return Cause("  containers: [{name: a, image: b, env: [{name: A, value: " + value + "}]}]");
  };
  const std::string where = "spec.containers[0].env[0].value: ";
  for (const char* number : {"1", "1.5", "0x1F", "-3", "1e3", ".inf"}) {
    EXPECT_EQ(of_value(number),
              where + "is a number, no text; put it into quotes: \"" + number + "\"");
  }
  for (const char* flag : {"true", "no", "On"}) {
    EXPECT_EQ(of_value(flag),
              where + "is a truth value, no text; put it into quotes: \"" + flag + "\"");
  }
  for (const char* text : {"'1'", "\"true\"", "1.2.3", "1Gi", "!!str 1", "null", "''", "x"}) {
    EXPECT_EQ(of_value(text), "") << text;
  }
  EXPECT_EQ(Cause("  containers: [{name: a, image: b, args: [x, 1]}]"),
            "spec.containers[0].args[1]: is a number, no text; put it into quotes: \"1\"");
  EXPECT_EQ(
      Parse("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: true}}").status().message(),
      "metadata.labels.a: is a truth value, no text; put it into quotes: \"true\"");
}

TEST(Manifest, SaysTheWayAroundASubPath) {
  const std::string container =
      "  containers: [{name: a, image: b, volumeMounts: [{name: v, mountPath: /v, subPath: p}]}]\n";
  EXPECT_EQ(Cause(container + "  volumes: [{name: v, hostPath: {path: /srv}}]"),
            "spec.containers[0].volumeMounts[0].subPath: is not supported here; make hostPath "
            "/srv/p a volume of its own");
  EXPECT_EQ(Cause(container + "  volumes: [{name: v, emptyDir: {}}]"),
            "spec.containers[0].volumeMounts[0].subPath: is not supported here; give each part an "
            "emptyDir of its own");
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
