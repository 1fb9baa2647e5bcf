"""Pods over the CRI on either side, by one client: functions in USFs, or the same function in containers."""

import copy
import dataclasses
import itertools
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


class Lives:
    """pod_lives: starts and removes pods, and says what the calls took."""

    def __init__(self, socket: pathlib.Path):
        self.process = subprocess.Popen([BUILD / "pod_lives", socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, *words: str) -> dict:
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"pod_lives ended with {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Pods:
    """What both sides share. `cgroup`: the parent of the pods' cgroups, as kubelet always names one."""

    def __init__(self, client: Client, socket: pathlib.Path, cgroup: str):
        self.client, self.directory, self.cgroup = client, socket.parent, cgroup
        self.client.Version()
        self.lives = Lives(socket)

    def close(self) -> None:
        self.lives.close()

    def config(self, name: str) -> "cri.PodSandboxConfig":
        return pod_config(name, str(self.directory), linux=cri.LinuxPodSandboxConfig(cgroup_parent=self.cgroup),
                          dns_config=cri.DNSConfig(servers=["127.0.0.1"]))

    def container(self, name: str) -> "cri.ContainerConfig":
        raise NotImplementedError

    def target(self, pod: str) -> Target:
        return Target(self.client.PodSandboxStatus(pod_sandbox_id=pod).status.network.ip)

    def start(self, name: str) -> str:
        """By this process: any number at a time."""
        config = self.config(name)
        pod = self.client.RunPodSandbox(config=config).pod_sandbox_id
        container = self.client.CreateContainer(pod_sandbox_id=pod, config=self.container(name),
                                                sandbox_config=config).container_id
        self.client.StartContainer(container_id=container)
        return pod

    def timed_run(self, name: str) -> tuple[str, float]:
        """The pod's id, and what running it took, in ms."""
        done = self.lives.ask("run", cri.RunPodSandboxRequest(config=self.config(name)).SerializeToString().hex())
        return done["pod"], done["ms"]

    def timed_start(self, pod: str, name: str) -> float:
        """What creating and starting its container took, in ms."""
        create = cri.CreateContainerRequest(config=self.container(name), sandbox_config=self.config(name))
        return self.lives.ask("start", pod, create.SerializeToString().hex())["ms"]

    def timed_remove(self, pod: str) -> float:
        """What stopping and removing it took, in ms."""
        return self.lives.ask("remove", pod)["ms"]

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
        super().__init__(Client(f"{directory}/usetl.sock"), directory / "usetl.sock", cgroup)
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

    def container(self, name: str) -> "cri.ContainerConfig":
        return container_config("function", "localhost/bench:1")

    def target(self, pod: str) -> Target:
        if self.network:
            return super().target(pod)
        status = self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True)
        return Target("127.0.0.1", namespace=pathlib.Path(json.loads(status.info["info"])["networkNamespace"]))


class Containers(Pods):
    """On containerd. Without a network plugin they share the bench's network: containerd knows no other way."""

    def __init__(self, peer: containerd.Containerd, cgroup: str, network: bool = False, fast: bool = False):
        super().__init__(peer.client, peer.directory / "s", cgroup)
        self.network, self.fast = network, fast
        self.unused = itertools.count(_HOST_PORTS)
        self.ports: dict[str, int] = {}  # of pods, by name and by id

    def config(self, name: str) -> "cri.PodSandboxConfig":
        config = super().config(name)
        if not self.network:
            config.hostname = ""
            config.linux.security_context.namespace_options.network = cri.NODE
        return config

    def start(self, name: str) -> str:
        pod = super().start(name)
        self.ports[pod] = self.port_of(name)
        return pod

    def timed_run(self, name: str) -> tuple[str, float]:
        pod, took = super().timed_run(name)
        self.ports[pod] = self.port_of(name)
        return pod, took

    def port_of(self, name: str) -> int:
        if name not in self.ports:
            self.ports[name] = PORT if self.network else next(self.unused)
        return self.ports[name]

    def container(self, name: str) -> "cri.ContainerConfig":
        command = peer_image.command(self.port_of(name), self.fast)
        return container_config("function", containerd.IMAGE, command=command)

    def target(self, pod: str) -> Target:
        return super().target(pod) if self.network else Target("127.0.0.1", self.ports[pod])
