"""Pods over the CRI on either side, by one client: functions in USFs, or the same function in containers."""

import copy
import dataclasses
import json
import pathlib
import subprocess
import tempfile

import containerd
import peer_image
from environment import BUILD, Node

from cri import Client, container_config, cri, pod_config
from image_file import make_layout

FUNCTION = "def handler(event, context):\n    return {'n': event['n'], 'ok': True}\n"
PORT = 8080
_HOST_PORTS = 20000  # of containers that share the bench's own network: from here on


@dataclasses.dataclass
class Target:
    """Where a pod answers; `namespace`: who asks has to enter it first."""

    address: str
    port: int = PORT
    namespace: pathlib.Path | None = None


class Pods:
    """What both sides share. `cgroup`: the parent of the pods' cgroups, as kubelet always names one."""

    def __init__(self, client: Client, directory: pathlib.Path, cgroup: str):
        self.client, self.directory, self.cgroup = client, directory, cgroup
        self.client.Version()

    def config(self, name: str) -> "cri.PodSandboxConfig":
        return pod_config(name, str(self.directory), linux=cri.LinuxPodSandboxConfig(cgroup_parent=self.cgroup),
                          dns_config=cri.DNSConfig(servers=["127.0.0.1"]))

    def container(self, pod: str) -> "cri.ContainerConfig":
        raise NotImplementedError

    def target(self, pod: str) -> Target:
        return Target(self.client.PodSandboxStatus(pod_sandbox_id=pod).status.network.ip)

    def run(self, name: str) -> str:
        return self.client.RunPodSandbox(config=self.config(name)).pod_sandbox_id

    def start_in(self, pod: str, name: str) -> None:
        container = self.client.CreateContainer(pod_sandbox_id=pod, config=self.container(pod),
                                                sandbox_config=self.config(name)).container_id
        self.client.StartContainer(container_id=container)

    def start(self, name: str) -> str:
        pod = self.run(name)
        self.start_in(pod, name)
        return pod

    def remove(self, pod: str) -> None:
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.client.RemovePodSandbox(pod_sandbox_id=pod)

    def remove_all(self) -> None:
        for item in self.client.ListPodSandbox().items:
            self.remove(item.id)


class Functions(Pods):
    """On a node's usetld. `network`: pods have an address, else a loopback only."""

    def __init__(self, node: Node, cgroup: str, network: bool = False):
        directory = pathlib.Path(node.directory)
        super().__init__(Client(f"{directory}/usetl.sock"), directory, cgroup)
        self.network = network
        with tempfile.TemporaryDirectory() as temporary:
            layout = make_layout(pathlib.Path(temporary), {"function/main.py": FUNCTION},
                                 "--config.workingdir", "/function")
            subprocess.run([BUILD / "usetl", "image", "import", "--store", directory / "images", layout,
                            "--name", "localhost/bench:1"], check=True, capture_output=True)

    def without_cgroups(self) -> "Functions":
        """The same, for pods that nobody names a parent for."""
        other = copy.copy(self)
        other.cgroup = ""
        return other

    def container(self, pod: str) -> "cri.ContainerConfig":
        return container_config("function", "localhost/bench:1")

    def target(self, pod: str) -> Target:
        if self.network:
            return super().target(pod)
        status = self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True)
        return Target("127.0.0.1", namespace=pathlib.Path(json.loads(status.info["info"])["networkNamespace"]))


class Containers(Pods):
    """On containerd. Without a network plugin they share the bench's network: containerd knows no other way."""

    def __init__(self, peer: containerd.Containerd, cgroup: str, network: bool = False, fast: bool = False):
        super().__init__(peer.client, peer.directory, cgroup)
        self.network, self.fast = network, fast
        self.ports: dict[str, int] = {}

    def config(self, name: str) -> "cri.PodSandboxConfig":
        config = super().config(name)
        if not self.network:
            config.hostname = ""
            config.linux.security_context.namespace_options.network = cri.NODE
        return config

    def run(self, name: str) -> str:
        pod = super().run(name)
        self.ports[pod] = PORT if self.network else _HOST_PORTS + len(self.ports)
        return pod

    def container(self, pod: str) -> "cri.ContainerConfig":
        return container_config("function", containerd.IMAGE, command=peer_image.command(self.ports[pod], self.fast))

    def target(self, pod: str) -> Target:
        return super().target(pod) if self.network else Target("127.0.0.1", self.ports[pod])
