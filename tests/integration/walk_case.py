"""A pod whose daemons are killed on the way: what the steps of test_walk are made of."""

import json
import subprocess
import threading
import unittest

import grpc
from cri import container_config, cri, pod_config
from daemons import Daemons
from node import wait_until

FUNCTION = """
import time
print("loading", flush=True)
if open("/etc/walk/slow").read() == "yes":
    time.sleep(60)
def handler(event, context):
    print("serving", flush=True)
    time.sleep(event.get("sleep", 0))
    return {"hello": event.get("name")}
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
print("loading", flush=True)
while True:
    time.sleep(1)
"""
# Between what it says it began and what lets it go on, a daemon is killed.
GATE = """#!/bin/sh
read -r input
if [ -e {at}/gate-$CNI_COMMAND ]; then
    touch {at}/began
    while [ -e {at}/gate-$CNI_COMMAND ]; do sleep 0.02; done
fi
[ $CNI_COMMAND != ADD ] || printf %s "$input" |
    /usr/bin/python3.11 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["prevResult"]))'
"""
MANY = 24  # calls at a time: the kill meets some on their way
RUNNING, EXITED, CREATED = cri.CONTAINER_RUNNING, cri.CONTAINER_EXITED, cri.CONTAINER_CREATED


class Call(threading.Thread):
    """A call of the CRI on its way; `error` is what came of it."""

    def __init__(self, call, **fields):
        super().__init__()
        self.call, self.fields, self.answer, self.error = call, fields, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.call(**self.fields)
        except (grpc.RpcError, ValueError) as error:  # the latter when there is no usetld any more to send it to
            self.error = error

    @property
    def done(self) -> bool:
        return not self.is_alive()

    def failed(self) -> bool:
        self.join()
        return self.error is not None


class WalkCase(unittest.TestCase):
    VICTIM = ""

    @classmethod
    def setUpClass(cls):
        if not cls.VICTIM:
            raise unittest.SkipTest("the steps, without a daemon to kill")
        cls.daemons = Daemons(bridge="usetl-walk", plugins=({"type": "gate"},))
        cls.addClassCleanup(cls.daemons.close)
        cls.directory = cls.daemons.directory
        gate = cls.directory / "bin/gate"
        gate.write_text(GATE.format(at=cls.directory))
        gate.chmod(0o755)
        cls.daemons.add_image("localhost/walk:1", {"function/main.py": FUNCTION, "function/stubborn.py": STUBBORN},
                              "--config.workingdir", "/function")
        (cls.directory / "mount").mkdir()
        for path in cls.daemons.make_cgroup():
            cls.addClassCleanup(path.rmdir)
        cls.daemons.start_all()
        warm = cls("test_07_exec_in_flight")  # the daemons have as many descriptors afterwards as they ever get
        warm.slow("no")
        container = warm.run_container(warm.run_pod())
        warm.client.ExecSync(container_id=container, cmd=["true"])
        for item in warm.client.ListPodSandbox().items:
            warm.client.RemovePodSandbox(pod_sandbox_id=item.id)

    def setUp(self):
        self.slow("no")
        wait_until(self.daemons.all_usfs_idle)
        self.descriptors = {program: self.daemons.descriptors(program) for program in self.daemons.running}
        self.survivors = list(self.daemons.running.values())
        self.usfs = len(self.daemons.inspect()["usfs"])
        self.addCleanup(self.remove_all)

    @property
    def client(self):
        return self.daemons.client

    def slow(self, text: str) -> None:
        (self.directory / "mount/slow").write_text(text)

    def close_gate(self, command: str) -> None:
        (self.directory / "began").unlink(missing_ok=True)
        (self.directory / f"gate-{command}").touch()
        self.addCleanup(self.open_gates)

    def open_gates(self) -> None:
        for path in self.directory.glob("gate-*"):
            path.unlink()

    def began(self) -> None:
        wait_until((self.directory / "began").exists)

    def kill(self) -> None:
        """And starts it again, as an init system does."""
        self.daemons.kill(self.VICTIM)
        self.open_gates()
        self.daemons.start(self.VICTIM)

    # A pod's life.

    @property
    def config(self) -> "cri.PodSandboxConfig":
        return pod_config("walk", self.directory, linux=cri.LinuxPodSandboxConfig(cgroup_parent=self.daemons.cgroup))

    def run_pod(self) -> str:
        return self.client.RunPodSandbox(config=self.config, runtime_handler="usetl").pod_sandbox_id

    def many(self, verb: str, requests: list[dict]) -> list[Call]:
        call = getattr(self.client, verb)
        return [Call(call, **request) for request in requests]

    def listed(self) -> set[str]:
        return {container.id for container in self.client.ListContainers().containers}

    def image_files(self) -> list[str]:
        return sorted(str(path) for path in (self.directory / "images").rglob("*"))

    def create_request(self, pod: str, attempt: int, **fields) -> dict:
        mount = cri.Mount(container_path="/etc/walk", host_path=f"{self.directory}/mount", readonly=True)
        config = container_config("walk", "localhost/walk:1", mounts=[mount],
                                  metadata=cri.ContainerMetadata(name="walk", attempt=attempt), **fields)
        config.log_path = f"{self._testMethodName}-{attempt}.log"
        return {"pod_sandbox_id": pod, "config": config, "sandbox_config": self.config}

    def create(self, pod: str, attempt: int = 0, **fields) -> str:
        request = self.create_request(pod, attempt, **fields)
        self.log = self.directory / "logs/walk" / request["config"].log_path
        return self.client.CreateContainer(**request).container_id

    def run_container(self, pod: str, attempt: int = 0, **fields) -> str:
        container = self.create(pod, attempt, **fields)
        self.client.StartContainer(container_id=container)
        return container

    def logged(self, text: str) -> None:
        wait_until(lambda: self.log.exists() and text in self.log.read_text())

    def status(self, container: str) -> "cri.ContainerStatus":
        return self.client.ContainerStatus(container_id=container).status

    def curl(self, pod: str, event: dict) -> subprocess.Popen:
        address = self.client.PodSandboxStatus(pod_sandbox_id=pod).status.network.ip
        return subprocess.Popen(["curl", "-sS", "-m", "60", "-H", "content-type: application/json", "-d",
                                 json.dumps(event), f"http://{address}:8080/"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)

    def serves(self, pod: str) -> None:
        self.assertEqual(self.curl(pod, {"name": "you"}).communicate()[0], '{"hello":"you"}')

    def lost(self, container: str) -> None:
        """It has ended, with a reason that says that the function is not to blame."""
        wait_until(lambda: self.status(container).state == EXITED)
        status = self.status(container)
        self.assertEqual((status.exit_code, status.reason), (255, "Unknown"))
        self.assertRegex(status.message, "usetl-vmmd left|usetl-proxy ended")
        self.assertGreaterEqual(status.finished_at, status.started_at)

    def lives_on(self, pod: str, container: str) -> None:
        """As before where usetld was killed; else it has ended and another attempt can be started."""
        if self.VICTIM == "usetld":
            self.assertEqual(self.status(container).state, RUNNING)
        else:
            self.lost(container)
            self.run_container(pod, attempt=1)
        self.serves(pod)

    def holds_nothing(self, but: str = "") -> None:
        held = self.daemons.holdings()
        held.pop(but, None)
        self.assertEqual({name: some for name, some in held.items() if some}, {})

    def remove_all(self) -> None:
        for item in self.client.ListPodSandbox().items:
            self.client.StopPodSandbox(pod_sandbox_id=item.id)
            self.holds_nothing(but="files")
            self.client.RemovePodSandbox(pod_sandbox_id=item.id)
        self.assertEqual(list(self.client.ListContainers().containers), [])
        self.holds_nothing()
        wait_until(self.daemons.all_usfs_idle)
        for program, before in self.descriptors.items():
            more_usfs = program == "usetl-vmmd" and len(self.daemons.inspect()["usfs"]) > self.usfs
            if self.daemons.running[program] in self.survivors and not more_usfs:
                wait_until(lambda program=program, before=before: self.daemons.descriptors(program) <= before)
