"""usetld beside a node's other daemons, with an image of a function: what tests of the CRI share."""

import json
import os
import pathlib
import subprocess
import unittest

import grpc
from cri import Client, container_config, cri, pod_config
from image_file import add_image
from node import Node, start_daemon, wait_until

MAIN = """
import os, sys
print("loaded")
def handler(event, context):
    print("called", event.get("name"))
    if event.get("fail"):
        raise ValueError("no good")
    if event.get("die"):
        os.abort()
    return {"hello": event.get("name"), "mode": os.environ.get("MODE"), "file": read(event.get("path"))}
def read(path):
    return open(path).read() if path else None
"""
JOB = """
import sys, time
print("out", *sys.argv[1:])
print("err", file=sys.stderr)
if "sleep" in sys.argv:
    sys.stdout.flush()
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""
SPIN = """
print("spinning", flush=True)
while True:
    pass
"""
RUNNING, EXITED = cri.CONTAINER_RUNNING, cri.CONTAINER_EXITED


class CriCase(unittest.TestCase):
    """usetld by itself, so that it can be killed, beside a node's other daemons."""

    OPTIONS: tuple[str, ...] = ()
    FILES = {"function/main.py": MAIN, "function/job.py": JOB, "function/spin.py": SPIN}  # of localhost/function:1

    @classmethod
    def setUpClass(cls):
        cls.node = Node(pool=3, verify=True)
        cls.addClassCleanup(cls.node.close)
        cls.directory = pathlib.Path(cls.node.directory)
        add_image(cls.directory / "images", "localhost/function:1", cls.FILES, "--config.workingdir", "/function",
                  "--config.env", "MODE=image")

    def setUp(self):
        self.start()

    def start(self):
        self.usetld, said = start_daemon(
            self, "usetld", "--socket", f"{self.directory}/usetl.sock", "--state", f"{self.directory}/state",
            "--images", f"{self.directory}/images", "--pods", f"{self.directory}/pods.sock",
            "--vmmd", f"{self.directory}/vmmd.sock", "--namespaces", f"{self.directory}/netns", "--no-network",
            *self.OPTIONS)
        self.assertEqual(said, "ready\n")
        self.client = Client(f"{self.directory}/usetl.sock")
        self.addCleanup(self.client.close)
        self.addCleanup(self.remove_all)

    def kill(self):
        self.client.close()
        self.usetld.kill()
        self.usetld.wait()

    def remove_all(self):
        if self.usetld.poll() is not None:
            return  # a later one has done it
        for item in self.client.ListPodSandbox().items:
            self.client.RemovePodSandbox(pod_sandbox_id=item.id)
        self.assertEqual(len(self.client.ListContainers().containers), 0)
        self.assertEqual(list(self.directory.glob("netns/*")), [])
        self.assertEqual(os.listdir(self.directory / "state/containers"), [])

    def run_pod(self, name: str = "pod", **fields) -> str:
        self.pod = pod_config(name, self.directory, **fields)
        return self.client.RunPodSandbox(config=self.pod, runtime_handler="usetl").pod_sandbox_id

    def create(self, pod: str, name: str = "function", **fields) -> str:
        config = container_config(name, "localhost/function:1", **fields)
        return self.client.CreateContainer(pod_sandbox_id=pod, config=config,
                                           sandbox_config=self.pod).container_id

    def run_container(self, pod: str, name: str = "function", **fields) -> str:
        container = self.create(pod, name, **fields)
        self.client.StartContainer(container_id=container)
        return container

    def node_state(self) -> dict:
        return json.loads(self.node.usetl("inspect").stdout)

    def stop(self, container: str, grace: int) -> None:
        self.client.StopContainer(container_id=container, timeout=grace)

    def status(self, container: str) -> "cri.ContainerStatus":
        return self.client.ContainerStatus(container_id=container).status

    def wait_exited(self, container: str) -> "cri.ContainerStatus":
        wait_until(lambda: self.status(container).state == EXITED)
        return self.status(container)

    def call(self, pod: str, *arguments: str, port: int = 8080) -> str:
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        done = subprocess.run(["nsenter", f"--net={info['networkNamespace']}", "curl", "-sS", "-m", "60",
                               f"http://127.0.0.1:{port}/", *arguments], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def post(self, pod: str, event: dict) -> str:
        return self.call(pod, "-H", "content-type: application/json", "-d", json.dumps(event))

    def assert_fails(self, code: grpc.StatusCode, message: str, call, **fields):
        with self.assertRaises(grpc.RpcError) as raised:
            call(**fields)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        self.assertRegex(raised.exception.details(), message)
