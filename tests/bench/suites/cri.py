"""Pods over the CRI: start, first answer, warm requests, bursts, lists, stop, memory. No network plugin."""

import ctypes
import http.client
import json
import pathlib
import subprocess
import tempfile
import threading
import time

import memory
from environment import BUILD, Node, wait_until
from rows import percentile, row
from suites.usf_memory import settled

from cri import Client, container_config, cri, pod_config
from image_file import make_layout

FUNCTION = "def handler(event, context):\n    return {'n': event['n'], 'ok': True}\n"
BODY = json.dumps({"n": 1})
PODS, BURST, THREADS, LISTED = 60, 200, 32, 1000
_CLONE_NEWNET = 0x40000000


class Pods:
    def __init__(self, node: Node):
        self.directory = pathlib.Path(node.directory)
        with tempfile.TemporaryDirectory() as directory:
            layout = make_layout(pathlib.Path(directory), {"function/main.py": FUNCTION},
                                 "--config.workingdir", "/function")
            subprocess.run([BUILD / "usetl", "image", "import", "--store", self.directory / "images", layout,
                            "--name", "localhost/bench:1"], check=True, capture_output=True)
        self.socket = f"{self.directory}/usetl.sock"
        self.client = Client(self.socket)
        self.client.Version()

    def run(self, name: str) -> str:
        return self.client.RunPodSandbox(config=pod_config(name, self.directory)).pod_sandbox_id

    def start(self, name: str) -> str:
        pod = self.run(name)
        container = self.client.CreateContainer(
            pod_sandbox_id=pod, config=container_config("function", "localhost/bench:1")).container_id
        self.client.StartContainer(container_id=container)
        return pod

    def namespace(self, pod: str) -> str:
        status = self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True)
        return json.loads(status.info["info"])["networkNamespace"]

    def remove(self, pod: str) -> None:
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.client.RemovePodSandbox(pod_sandbox_id=pod)

    def remove_all(self) -> None:
        for item in self.client.ListPodSandbox().items:
            self.remove(item.id)


def measure(pods: Pods, *arguments) -> dict:
    """What cri_bench says: a client in C++, where one in Python would take the processors from usetld."""
    done = subprocess.run([BUILD / "cri_bench", pods.socket, *map(str, arguments)], check=True, capture_output=True,
                          text=True, timeout=300)
    return json.loads(done.stdout)


def within(namespace: str, work):
    """Runs `work` on a thread that has entered the network namespace."""
    results = []

    def enter() -> None:
        with open(namespace, "rb") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        results.append(work())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return results[0]


def milliseconds(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3


def request(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/", BODY, {"content-type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200 or json.loads(answer.read())["n"] != 1:
        raise RuntimeError(f"unexpected answer: {answer.status}")


def first_request() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    request(connection)
    connection.close()


def warm_requests(count: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    samples = []
    for _ in range(count):
        begin = time.perf_counter()
        request(connection)
        samples.append(milliseconds(begin) * 1e3)
    connection.close()
    return samples[count // 10:]


def life_of_a_pod(pods: Pods) -> list[dict]:
    started, answered, stopped = [], [], []
    for number in range(PODS):
        time.sleep(0.05)  # the pool fills again, off the path
        begin = time.perf_counter()
        pod = pods.start(f"pod{number}")
        started.append(milliseconds(begin))
        begin = time.perf_counter()
        within(pods.namespace(pod), first_request)
        answered.append(milliseconds(begin))
        begin = time.perf_counter()
        pods.remove(pod)
        stopped.append(milliseconds(begin))
    return [row("RunPodSandbox + CreateContainer + StartContainer", "ms", started, 10, 3),
            row("StartContainer to first HTTP answer", "ms", answered, 5, 1),
            row("StopPodSandbox + RemovePodSandbox", "ms", stopped, 10, 3)]


def warm(pods: Pods) -> list[dict]:
    pod = pods.start("warm")
    samples = within(pods.namespace(pod), lambda: warm_requests(3000))
    pods.remove(pod)
    return [row("warm HTTP request, one connection, small JSON", "us", samples, 500, 200)]


def burst(pods: Pods) -> list[dict]:
    seconds = measure(pods, "burst", BURST, THREADS, "localhost/bench:1", pods.directory / "logs")["seconds"]
    before = settled()
    pods.remove_all()
    after = settled()
    return [row(f"burst: {BURST} pods started at once, all answer", "s", [seconds], 2, 0.5),
            row("memory that a pod gives back", "MB", [(memory.in_use(before) - memory.in_use(after)) / BURST])]


def lists(pods: Pods) -> list[dict]:
    samples = measure(pods, "list", LISTED, 300)["ms"]
    return [row(f"ListPodSandbox with {LISTED} pods, 20 a second come and go, p99", "ms",
                [percentile(samples, 0.99)], 5, 2)]


def run(_options) -> list[dict]:
    node = Node("--cri", "--no-network", pool=BURST)
    try:
        wait_until(lambda: node.usetl("ps").stdout.count(" idle ") >= BURST, 120)
        pods = Pods(node)
        rows = life_of_a_pod(pods) + warm(pods)
        wait_until(lambda: node.usetl("ps").stdout.count(" idle ") >= BURST, 120)
        return rows + burst(pods) + lists(pods)
    finally:
        node.close()
