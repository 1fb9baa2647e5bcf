"""What a function cannot have is refused: each field with its code and the words that users read."""

import json
import re

import grpc
from cri import container_config, cri, pod_config
from cri_case import CriCase

INVALID = grpc.StatusCode.INVALID_ARGUMENT

NAMESPACES = [
    ({"network": cri.NODE}, "hostNetwork is not supported: a function has no network device, only its pod's gateway"),
    ({"pid": cri.NODE}, "hostPID is not supported: a function sees no host process"),
    ({"ipc": cri.NODE}, "hostIPC is not supported: a function shares no host memory"),
    ({"pid": cri.TARGET}, "ephemeral containers are not supported: nothing can join a micro-VM's process"),
    ({"userns_options": cri.UserNamespace(mode=cri.POD)},
     "hostUsers: false is not supported: a function's users exist in its micro-VM only"),
]
ANNOTATIONS = [
    ({"usetl.dev/isolation": "request"}, "usetl.dev/isolation is not supported: a micro-VM is brought back when its "
                                         "container ends, not between requests"),
    ({"usetl.dev/exec": "inside"}, "usetl.dev/exec is not supported: programs beside a function run in a clone of its "
                                   "files"),
    *(({name: "1", "other.dev/max-usfs": "1"},
       f'no annotation "{name}" is known; those that are: usetl.dev/allow, usetl.dev/exec, usetl.dev/handler, '
       "usetl.dev/isolation, usetl.dev/runtime, usetl.dev/timeout")
      for name in ("usetl.dev/max-usfs", "usetl.dev/Allow", "usetl.dev/")),
]
IN_DNS = "in the pod's DNS config"
DNS = [
    *(({"servers": [server]}, f"malformed nameserver {IN_DNS}")
      for server in ("", "10.0.0", "name.example", "10.0.0.1\noptions x", "10.0.0.1\0", "1" * 10_000)),
    *(({"searches": [search]}, f"malformed search {IN_DNS}") for search in ("", "a\nb", "a b", "a\0", "a" * 256)),
    *(({"options": [option]}, f"malformed options {IN_DNS}") for option in ("", "a\nnameserver 1.2.3.4", "a" * 256)),
    ({"servers": ["10.0.0.1"] * 4}, f"more than 3 nameservers {IN_DNS}"),
    ({"searches": ["a"] * 33}, f"more than 32 search domains {IN_DNS}"),
    ({"searches": ["a" * 200] * 11}, f"more than 2048 characters of search domains {IN_DNS}"),
    ({"options": ["a"] * 33}, f"more than 32 options {IN_DNS}"),
]
LOCALHOST = cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref="x")
NO_SECCOMP = "a Localhost seccomp profile is not supported: a function makes no system call of the host"
NO_APPARMOR = "a Localhost AppArmor profile is not supported: a function is no process of the host"
PROFILES = [
    ({"seccomp": LOCALHOST}, NO_SECCOMP), ({"apparmor": LOCALHOST}, NO_APPARMOR),
    ({"seccomp_profile_path": "localhost/x"}, NO_SECCOMP),
]
MOUNTS = [
    ({"container_path": "relative"}, "the path in the container has to be absolute"),
    ({"propagation": cri.PROPAGATION_BIDIRECTIONAL},
     "mount propagation is not supported: a function has a file tree of its own"),
    ({"propagation": cri.PROPAGATION_HOST_TO_CONTAINER},
     "mount propagation is not supported: a function has a file tree of its own"),
    ({"recursive_read_only": True, "readonly": True}, "recursive read-only mounts are not supported"),
    ({"host_path": "", "image": cri.ImageSpec(image="localhost/function:1")}, "an image volume has to be read-only"),
    ({"host_path": ""}, "a path on the host is missing"),
    *(({"container_path": path}, "/run/usetl is where the runtime keeps large answers; mount elsewhere")
      for path in ("/run/usetl", "/run//usetl/", "/run/./usetl/body/x")),
    ({"uidMappings": [cri.IDMapping(host_id=1, length=1)]}, "id-mapped mounts are not supported"),
    ({"mount_options": ["nodev", "noexec"]}, 'the mount option "noexec" is not supported: files are copied in'),
    ({"gidMappings": [cri.IDMapping(host_id=1, length=1)]}, "id-mapped mounts are not supported"),
]


def context(**fields) -> dict:
    return {"linux": cri.LinuxContainerConfig(security_context=cri.LinuxContainerSecurityContext(**fields))}


def resources(**fields) -> dict:
    return {"linux": cri.LinuxContainerConfig(resources=cri.LinuxContainerResources(**fields))}


RESOURCES = [
    ({"memory_limit_in_bytes": 15 << 20},
     "a memory limit of 15728640 bytes is less than the 64 MB that a function takes; give 64Mi or more"),
    ({"memory_limit_in_bytes": (64 << 20) - 1},
     "a memory limit of 67108863 bytes is less than the 64 MB that a function takes; give 64Mi or more"),
    ({"memory_limit_in_bytes": -1}, "a memory limit of -1 bytes is none"),
    *(({"oom_score_adj": score}, f"oom_score_adj {score} is not between -1000 and 1000") for score in (-1001, 1001)),
    *(({"cpuset_cpus": text}, "cpuset_cpus has to be a list of numbers and ranges, as 0-3,5")
      for text in ("all", "0,", ",0", "3-1", "1-", "-1", " 1", "0\n", "0-1:1/2", "8192", "1" * 5000)),
    ({"cpuset_cpus": "0", "cpuset_mems": "0,x"}, "cpuset_mems has to be a list of numbers and ranges, as 0-3,5"),
]
WANTS_CGROUP = "want a cgroup; give the pod a cgroup_parent, or the container limits of the processor when it is created"
CONTAINERS = [
    ({"metadata": cri.ContainerMetadata()}, "the container has no name"),
    (context(privileged=True), "privileged containers are not supported: a function can be given no device and no "
                               "capability of the host"),
    (context(capabilities=cri.Capability(add_capabilities=["NET_ADMIN"])),
     "adding capabilities is not supported: a function makes no system call of the host"),
    (context(capabilities=cri.Capability(add_ambient_capabilities=["NET_ADMIN"])),
     "adding capabilities is not supported: a function makes no system call of the host"),
    (context(run_as_group=cri.Int64Value(value=1)), "runAsGroup wants runAsUser beside it"),
    (context(run_as_user=cri.Int64Value(value=-1)), "-1 is no id of a user or group"),
    ({"mounts": [cri.Mount(container_path="/data", host_path="/tmp")], **context(run_as_username="nobody")},
     'the image\'s /etc/passwd has no user "nobody": use a number, or runAsUser'),
    (context(supplemental_groups=list(range(33))), "more than 32 groups"),
    ({"devices": [cri.Device(container_path="/dev/x", host_path="/dev/null")]},
     "devices are not supported: a micro-VM has none"),
    ({"CDI_devices": [cri.CDIDevice(name="vendor.com/class=x")]}, "devices are not supported: a micro-VM has none"),
    (context(masked_paths=["/proc/kcore", "/etc/passwd"]), "/etc/passwd: masked and read-only paths are supported in "
     "/proc and /sys; mount something read-only there"),
    (context(readonly_paths=["/proc/../tmp"]), "/proc/../tmp: masked and read-only paths are supported in /proc and "
     "/sys; mount something read-only there"),
    ({"tty": True}, "tty is not supported for a container: a function has no terminal"),
    ({"stdin": True}, "stdin is not supported for a container: events come over HTTP"),
    ({"command": ["/bin/sh", "-c", "true"]},
     'the command "/bin/sh" is not supported: a thin image runs Python files; use ["python3", "FILE.py"], or no '
     "command for a handler"),
    ({"command": ["python3", "-c", "print(1)"]},
     'the command "python3 -c" is not supported: give python the file of a program'),
    ({"command": ["python3"]}, 'the command "python3" is not supported: give python the file of a program'),
    ({"working_dir": "relative"}, "the working directory has to be absolute"),
    ({"envs": [cri.KeyValue(key="A=B", value=b"x")]}, "malformed environment variable"),
    ({"envs": [cri.KeyValue(key="A", value=b"x\0y")]}, "malformed environment variable"),
    ({"annotations": {"io.kubernetes.container.ports": '[{"containerPort":70000}]'}},
     "the annotation io.kubernetes.container.ports is malformed"),
    ({"annotations": {"io.kubernetes.container.ports": json.dumps([{"containerPort": port} for port in range(1, 34)])}},
     "the container has 33 TCP ports; a function serves 32 at most"),
]


class Refused(CriCase):
    def refused(self, message: str, call, **fields) -> None:
        with self.subTest(message):
            self.assert_fails(INVALID, f"^{re.escape('usetl: ' + message)}$", call, **fields)

    def refuse_pod(self, message: str, handler: str = "usetl", **fields) -> None:
        self.refused(message, self.client.RunPodSandbox, config=pod_config("refused", self.directory, **fields),
                     runtime_handler=handler)

    def test_pods(self):
        self.refuse_pod('no runtime handler "runc"; this node has "usetl"', handler="runc")
        self.refuse_pod("the pod has no name", metadata=cri.PodSandboxMetadata(namespace="default", uid="x"))
        self.refuse_pod("the pod has no namespace", metadata=cri.PodSandboxMetadata(name="x", uid="x"))
        self.refuse_pod("the pod has no uid", metadata=cri.PodSandboxMetadata(name="x", namespace="default"))
        for fields, message in DNS:
            self.refuse_pod(message, dns_config=cri.DNSConfig(**fields))
        self.refuse_pod('the sysctl "kernel.shmmax" is not supported: a pod has a network of its own (net.*), but no other '
                 "part of the host's kernel", linux=cri.LinuxPodSandboxConfig(sysctls={"kernel.shmmax": "1"}))
        for annotations, message in ANNOTATIONS:
            self.refuse_pod(message, annotations=annotations)
        self.refuse_pod("cpuset_cpus has to be a list of numbers and ranges, as 0-3,5", linux=cri.LinuxPodSandboxConfig(
            resources=cri.LinuxContainerResources(cpuset_cpus="x")))
        for options, message in NAMESPACES:
            security = cri.LinuxSandboxSecurityContext(namespace_options=cri.NamespaceOption(**options))
            self.refuse_pod(message, linux=cri.LinuxPodSandboxConfig(security_context=security))
        for fields, message in PROFILES:
            security = cri.LinuxSandboxSecurityContext(**fields)
            self.refuse_pod(message, linux=cri.LinuxPodSandboxConfig(security_context=security))
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)

    def test_containers(self):
        pod = self.run_pod()
        for fields, message in [*CONTAINERS, *(({"annotations": one}, message) for one, message in ANNOTATIONS),
                                *((resources(**fields), message) for fields, message in RESOURCES),
                                *((context(namespace_options=cri.NamespaceOption(**options)), message)
                                  for options, message in NAMESPACES),
                                *((context(**fields), message) for fields, message in
                                  [*PROFILES, ({"apparmor_profile": "localhost/x"}, NO_APPARMOR)])]:
            self.refused(message, self.create, pod=pod, **fields)
        self.refused("the container has no image", self.client.CreateContainer, pod_sandbox_id=pod,
                     config=container_config("function", ""), sandbox_config=self.pod)
        for fields, message in MOUNTS:
            mount = cri.Mount(**{"container_path": "/a", "host_path": "/tmp", **fields})
            self.refused(f"mount {mount.container_path}: {message}", self.create, pod=pod, mounts=[mount])
        self.assertEqual(len(self.client.ListContainers().containers), 0)
        container = self.create(pod)  # no refusal keeps the name
        for fields, message in RESOURCES:
            self.refused(message, self.client.UpdateContainerResources, container_id=container,
                         linux=cri.LinuxContainerResources(**fields))
        for what, fields in (("limits of the processor", {"cpu_quota": 10_000}),
                             ("limits of the processor", {"cpu_period": 10_000}),
                             ("limits of the processor", {"cpu_shares": 2}),
                             ("cpuset_cpus and cpuset_mems", {"cpuset_cpus": "0"})):
            self.refused(f"{what} {WANTS_CGROUP}", self.client.UpdateContainerResources, container_id=container,
                         linux=cri.LinuxContainerResources(**fields))
        self.assertEqual(self.status(container).resources.linux, cri.LinuxContainerResources())

    def test_restrictions_are_accepted(self):
        profile = cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
        user = cri.Int64Value(value=1000)
        pod = self.run_pod(linux=cri.LinuxPodSandboxConfig(security_context=cri.LinuxSandboxSecurityContext(
            privileged=True, seccomp=profile, apparmor=profile, run_as_user=user, run_as_group=user,
            supplemental_groups=[1], readonly_rootfs=True, selinux_options=cri.SELinuxOption(type="t"),
            namespace_options=cri.NamespaceOption(network=cri.POD, pid=cri.CONTAINER, ipc=cri.POD))))
        self.run_container(pod, **context(
            readonly_rootfs=True, no_new_privs=True, run_as_user=user, run_as_group=user, supplemental_groups=[1],
            seccomp=profile, apparmor=profile, seccomp_profile_path="runtime/default", apparmor_profile="unconfined",
            masked_paths=["/proc/kcore", "/sys/firmware"],
            readonly_paths=["/proc/sys"], capabilities=cri.Capability(drop_capabilities=["ALL"]), selinux_options=cri.SELinuxOption(type="t"),
            namespace_options=cri.NamespaceOption(network=cri.POD, pid=cri.POD, ipc=cri.POD)))
        self.assertIn("you", self.post(pod, {"name": "you"}))
