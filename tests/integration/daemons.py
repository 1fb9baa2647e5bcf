"""The daemons of a node one by one, as units of an init system: each can be killed and started again."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from cgroups import make_cgroup
from cri import BUILD, Client
from image_file import add_image
from node import in_network_namespace, spawn_daemon

PLUGINS = "/usr/lib/cni"


class Daemons:
    """usetl-vmmd, usetl-proxy and usetld on a bridge of their own. Whoever makes one closes it."""

    def __init__(self, *, bridge: str, plugins: tuple[dict, ...] = (), pool: int = 3, subnet: str = "10.79.0.0/20"):
        in_network_namespace()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-test-", dir="/dev/shm"))
        self.pool, self.bridge = pool, bridge
        for name in ("conf", "bin", "netns", "logs"):
            (self.directory / name).mkdir()
        first = {"type": "bridge", "bridge": bridge, "isGateway": True,
                 "ipam": {"type": "host-local", "subnet": subnet, "dataDir": f"{self.directory}/leases"}}
        (self.directory / "conf/10-net.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [first, *plugins]}))
        self.running: dict[str, subprocess.Popen] = {}
        self.client = None

    def add_image(self, name: str, files: dict[str, str], *config: str) -> None:
        add_image(self.directory / "images", name, files, *config)

    def options(self, program: str) -> list[str]:
        at = str(self.directory)
        return {"usetl-vmmd": ["--socket", f"{at}/vmmd.sock", "--runtimes", os.environ["USETL_RUNTIMES"],
                               "--pool", str(self.pool)],
                "usetl-proxy": ["--socket", f"{at}/proxy.sock", "--pods", f"{at}/pods.sock",
                                "--vmmd", f"{at}/vmmd.sock"],
                "usetld": ["--socket", f"{at}/usetl.sock", "--state", f"{at}/state", "--images", f"{at}/images",
                           "--pods", f"{at}/pods.sock", "--vmmd", f"{at}/vmmd.sock", "--namespaces", f"{at}/netns",
                           "--cni-conf", f"{at}/conf", "--cni-bin", f"{at}/bin:{PLUGINS}"]}[program]

    def start(self, program: str, *more: str) -> None:
        daemon, said = spawn_daemon(program, *self.options(program), *more)
        self.running[program] = daemon
        if said != "ready\n":
            raise AssertionError(f"{program}: {said}")
        if program == "usetld":
            self.client = Client(f"{self.directory}/usetl.sock")

    def start_all(self) -> None:
        for program in ("usetl-vmmd", "usetl-proxy", "usetld"):
            self.start(program)

    def kill(self, program: str) -> None:
        """kill -9: it cannot clean up."""
        daemon = self.running.pop(program)
        daemon.kill()
        daemon.wait()
        if program == "usetld":
            self.client.close()

    def pid(self, program: str) -> int:
        return self.running[program].pid

    def inspect(self) -> dict:
        done = subprocess.run([BUILD / "usetl", "inspect", "--node", self.directory], capture_output=True, text=True,
                              timeout=60, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def descriptors(self, program: str) -> int:
        return len(os.listdir(f"/proc/{self.pid(program)}/fd"))

    def holdings(self) -> dict[str, list[str]]:
        """What pods have on this machine, beside processes: nothing, when there are none."""
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        links = subprocess.run(["ip", "-o", "link", "show", "type", "veth"], capture_output=True, text=True, check=True)
        return {"leases": [path.name for path in self.directory.glob("leases/net/10.*")],
                "namespaces": os.listdir(self.directory / "netns"),
                "mounts": re.findall(rf"{self.directory}/netns/\S+", mounts),
                "veths": links.stdout.split("\n")[:-1],
                "files": sorted(os.listdir(self.directory / "state/containers")),
                "cgroups": [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/{self.cgroup[1:]}/usetl-*")]}

    @property
    def cgroup(self) -> str:
        return f"/usetl-test-{os.getpid()}"

    def make_cgroup(self) -> list[pathlib.Path]:
        """What kubelet makes for a pod, in each hierarchy. The caller removes it."""
        return make_cgroup(self.cgroup)

    def all_usfs_idle(self) -> bool:
        counts = self.inspect()
        return counts.get("idle", 0) >= self.pool and not any(
            counts[name] for name in ("starting", "claimed", "rolling", "cloning"))

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        for daemon in self.running.values():
            daemon.terminate()
        ends = {program: daemon.wait() for program, daemon in self.running.items()}
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        for path in (self.directory / "netns").iterdir():  # of a test that failed
            subprocess.run(["umount", "-l", path], capture_output=True, check=False)
        shutil.rmtree(self.directory)
        if any(ends.values()):  # sanitizers have their say at the end
            raise AssertionError(f"daemons did not end well: {ends}")
